//! Opens SQLite databases. Only the owner of the process can read their files.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};

/// Waits for the writes of other processes, lets readers and a writer work concurrently, makes
/// commits survive a power failure, and checks references.
const SETUP: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON;";

/// Opens a database and creates its file if it does not exist. Blocks.
pub(crate) fn open(path: &str) -> ConnectionResult<SqliteConnection> {
    create_private(Path::new(path))?;
    let mut connection = SqliteConnection::establish(path)?;
    connection.batch_execute(SETUP).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Creates the file with permissions for its owner only, because it will contain what visitors
/// write. SQLite gives its auxiliary files the same permissions.
fn create_private(path: &Path) -> ConnectionResult<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(ConnectionError::BadConnection(error.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use diesel::sql_types::Text;
    use diesel::{QueryableByName, RunQueryDsl, sql_query};

    use super::*;

    #[derive(QueryableByName)]
    struct CompileOption {
        #[diesel(sql_type = Text)]
        compile_options: String,
    }

    #[test]
    fn sqlite_has_the_compile_options_of_the_build_configuration() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let options: Vec<CompileOption> = sql_query("PRAGMA compile_options").load(&mut connection).unwrap();
        let has = |name: &str| options.iter().any(|option| option.compile_options == name);
        assert!(has("DEFAULT_MEMSTATUS=0") && !has("ENABLE_MEMORY_MANAGEMENT"), "see .cargo/config.toml");
        assert!(has("THREADSAFE=1"));
    }
}
