//! Packs the client, installs it in another project, and runs programs there.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::support::client::chat::Chat;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::external_tools::{
    ToolOutput, command, node_modules, repository_path, run_tool_within,
};
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

/// npm and compilers start slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Packages of other projects that the programs use.
const PACKAGES: [&str; 6] = ["@ai-sdk", "@types", "ai", "jsdom", "react", "react-dom"];

/// A project that has installed the package.
struct Project {
    directory: TempDir,
    modules: PathBuf,
}

impl Project {
    /// Returns `None` without the test tools.
    async fn new(test: &str) -> Option<Self> {
        let modules = node_modules(test)?;
        let directory = tempfile::tempdir().unwrap();
        let project = Self { directory, modules };
        let package = project.path("assets/client");
        fs::create_dir_all(&package).unwrap();
        copy_files(&repository_path("assets/client"), &package);
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(repository_path(license), project.path(license)).unwrap();
        }
        symlink(&project.modules, project.path("node_modules")).unwrap();
        let packed = project.run("assets/client", "npm", &["pack", "--silent"], None).await;
        assert!(packed.succeeded, "npm pack: {} {}", packed.stdout, packed.stderr);

        let version = env!("CARGO_PKG_VERSION");
        let tarball = package.join(format!("resume-chatbot-client-{version}.tgz")).display().to_string();
        let consumer = project.path("project");
        fs::create_dir(&consumer).unwrap();
        copy_files(&repository_path("tests/suite/client_package/installed"), &consumer);
        fs::write(consumer.join("package.json"), r#"{"private":true,"type":"module"}"#).unwrap();
        let arguments = ["install", "--offline", "--silent", "--no-audit", "--no-fund", tarball.as_str()];
        let installed = project.run("project", "npm", &arguments, None).await;
        assert!(installed.succeeded, "npm install: {} {}", installed.stdout, installed.stderr);
        for name in PACKAGES {
            symlink(project.modules.join(name), consumer.join("node_modules").join(name)).unwrap();
        }
        Some(project)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Runs a program in a directory of the project, for a server at this address.
    async fn run(
        &self,
        directory: &str,
        program: &str,
        arguments: &[&str],
        server: Option<&str>,
    ) -> ToolOutput {
        let mut command = command(program, arguments, &self.path(directory));
        let mut path = self.modules.join(".bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
        command.envs(server.map(|server| ("CHAT_SERVER", server)));
        run_tool_within(TIMEOUT, command, "").await
    }
}

/// Copies the files of a directory, without its subdirectories.
fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Returns the names and the code of the examples in the README, for a server at this address.
pub(super) fn readme_examples(server: SocketAddr) -> Vec<(String, String)> {
    let readme = fs::read_to_string(repository_path("assets/client/README.md")).unwrap();
    let blocks = readme.split("```js run=").skip(1);
    let examples = blocks.map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        let code = rest.split("\n```").next().unwrap().replace("127.0.0.1:8080", &server.to_string());
        (name.to_owned(), code)
    });
    examples.collect()
}

#[tokio::test]
async fn package_works_in_another_project() {
    let Some(project) = Project::new("the npm package").await else { return };
    let server = Server::start(ServerConfig::demo()).await;
    let url = server.http_url("/");

    let manifest = fs::read(project.path("project/node_modules/resume-chatbot-client/package.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "types/client.d.ts"] {
        let path = project.path("project/node_modules/resume-chatbot-client").join(file);
        assert!(path.is_file(), "the package does not contain {file}");
    }

    let types = "node_modules/resume-chatbot-client/types/client.d.ts";
    let strict = ["--ignoreConfig", "--noEmit", "--strict", "--module", "nodenext", "--lib", "es2023,dom"];
    let alone: Vec<&str> = strict.into_iter().chain(["--types", "", types]).collect();
    for arguments in [alone.as_slice(), &["--project", "tsconfig.json"]] {
        let compiled = project.run("project", "tsc", arguments, None).await;
        assert!(compiled.succeeded, "tsc: {} {}", compiled.stdout, compiled.stderr);
    }

    let program = project.run("project", "node", &["program.mjs"], Some(&url)).await;
    assert!(program.succeeded, "{} {}", program.stdout, program.stderr);
    for (name, code) in readme_examples(server.address()) {
        fs::write(project.path("project").join(format!("readme-{name}")), code).unwrap();
    }
    for example in ["readme-program.mjs", "readme-page.mjs"] {
        let program = project.run("project", "node", &[example], Some(&url)).await;
        assert!(program.succeeded, "{example}: {} {}", program.stdout, program.stderr);
        let status = format!("{}{}", program.stdout, program.stderr);
        assert!(status.contains("complete"), "{example}: {status}");
    }
    for file in ["react.test.mjs", "ai_sdk.test.mjs", "deep_chat.test.mjs"] {
        let tested = project.run("project", "node", &["--test", file], Some(&url)).await;
        assert!(tested.succeeded, "{file}:\n{} {}", tested.stdout, tested.stderr);
    }
}

#[tokio::test]
async fn program_prints_the_whole_answer_although_the_server_is_killed() {
    let Some(project) = Project::new("the npm package").await else { return };
    let mut chat = Chat::new(&[]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["Swedish, ", "never received"]).hold_after(1, &gate));
    chat.upstream.queue(Script::from_words(&["English ", "and German."]));
    let (_, code) = readme_examples(chat.server.address()).swap_remove(0);
    fs::write(project.path("project/program.mjs"), code).unwrap();
    let mut node = command("node", &["program.mjs"], &project.path("project"));
    let mut child = node.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut printed = String::new();
    while !printed.contains("Swedish, ") {
        let mut bytes = [0; 4096];
        let count = within("the first word", stdout.read(&mut bytes)).await.unwrap();
        assert_ne!(count, 0, "the program ended: {printed}");
        printed.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    chat.server.kill().await;
    chat.server.restart_on_the_same_port().await;
    within("the rest", stdout.read_to_string(&mut printed)).await.unwrap();
    let status = within("the end of the program", child.wait()).await.unwrap();
    assert!(status.success(), "{printed}");
    assert!(printed.ends_with("[from the start]\nEnglish and German."), "{printed}");
}
