//! Opening an SQLite database, which is private to its owner from the first moment.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};

/// Another process's write is waited for; readers and the writer do not wait for each other; what is committed survives
/// a power cut; a turn has a session.
const SETUP: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON;";

/// Opens a database, creating its file if it is not there. Blocks.
pub(crate) fn open(path: &str) -> ConnectionResult<SqliteConnection> {
    create_private(Path::new(path))?;
    let mut connection = SqliteConnection::establish(path)?;
    connection.batch_execute(SETUP).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Creates the file for the eyes of its owner only: it will hold what visitors said. SQLite gives the files beside it
/// the same permissions.
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
    fn sqlite_is_compiled_as_the_build_says() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let found: Vec<CompileOption> = sql_query("PRAGMA compile_options").load(&mut connection).unwrap();
        let has = |option: &str| found.iter().any(|it| it.compile_options == option);
        assert!(has("DEFAULT_MEMSTATUS=0") && !has("ENABLE_MEMORY_MANAGEMENT"), "see .cargo/config.toml");
        assert!(has("THREADSAFE=1"));
    }
}
