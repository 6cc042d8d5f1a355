//! The files around the code, judged by the tools that read them: workflows, forms, Compose,
//! justfile, toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::tools::external_tools::{ToolOutput, command, python, repository_path, run_tool};

/// A program of the Python environment, or `None` where the test tools are missing.
fn tool(name: &str, test: &str) -> Option<PathBuf> {
    python(test).map(|python| python.with_file_name(name))
}

async fn run_in_repository(path: &Path, arguments: &[&str]) -> ToolOutput {
    run_tool(command(path, arguments, &repository_path("")), "").await
}

fn read(path: &str) -> String {
    fs::read_to_string(repository_path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn actionlint_finds_nothing_in_the_workflows() {
    let Some(actionlint) = tool("actionlint", "the workflows") else { return };
    let workflows: Vec<String> = fs::read_dir(repository_path(".github/workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    let arguments: Vec<&str> = workflows.iter().map(String::as_str).collect();
    let ran = run_in_repository(&actionlint, &arguments).await;
    assert!(ran.succeeded, "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn yaml_files_match_the_schemas_of_the_programs_that_read_them() {
    let Some(checker) = tool("check-jsonschema", "the YAML files") else { return };
    for (schema, file) in [
        ("vendor.compose-spec", "compose.yaml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/bug_report.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/feature_request.yml"),
    ] {
        let ran = run_in_repository(&checker, &["--builtin-schema", schema, file]).await;
        assert!(ran.succeeded, "{}{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test]
async fn every_just_recipe_expands_to_commands_that_exist() {
    let Some(just) = tool("just", "the justfile") else { return };
    let summary = run_in_repository(&just, &["--summary"]).await;
    assert!(summary.succeeded, "{}", summary.stderr);
    let recipes: Vec<&str> =
        summary.stdout.split_whitespace().filter(|recipe| *recipe != "default").collect();
    assert!(recipes.len() > 5, "{recipes:?}");
    for recipe in recipes {
        let mut arguments = vec!["--dry-run", recipe];
        if recipe == "bench" {
            arguments.push("session");
        }
        let ran = run_in_repository(&just, &arguments).await;
        assert!(ran.succeeded, "{recipe}: {}", ran.stderr);
        // A dry run prints the commands on standard error.
        for command in ran.stderr.lines() {
            let name = command.split(' ').next().unwrap_or_default();
            let exists = ["cargo", "docker", "node"].contains(&name) || repository_path(name).is_file();
            assert!(exists, "{recipe} runs {name}");
        }
    }
}

/// The text between `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("there is no {before}…{after}")).0
}

#[test]
fn the_image_is_built_with_the_toolchain_of_development() {
    let toolchain = read("rust-toolchain.toml");
    let image = read("Containerfile");
    assert_eq!(between(&image, "/library/rust:", "-slim"), between(&toolchain, "channel = \"", "\""));
}

#[test]
fn the_readme_names_the_minimum_rust_version() {
    assert_eq!(between(&read("README.md"), "Rust ", " or later"), env!("CARGO_PKG_RUST_VERSION"));
}

#[test]
fn the_changelog_has_an_entry_for_the_version_of_the_package() {
    let heading = concat!("\n## [", env!("CARGO_PKG_VERSION"), "] - ");
    assert!(read("CHANGELOG.md").contains(heading));
}

/// The text of every Rust file in a directory.
fn collect_code(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            collect_code(&entry, code);
        } else {
            *code += &fs::read_to_string(&entry).unwrap();
        }
    }
}

#[test]
fn every_log_line_of_the_logging_guide_is_in_the_code_at_that_level() {
    let guide = read("docs/logging.md");
    let mut code = String::new();
    collect_code(&repository_path("src"), &mut code);
    let (_, table) = guide.split_once("\n| level | message | when |\n").unwrap();
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 5, "{rows:?}");
    for row in rows {
        let mut words = row.split('`').skip(1).step_by(2);
        let (level, message) = (words.next().unwrap(), words.next().unwrap());
        let (before, _) =
            code.split_once(&format!("\"{message}\"")).unwrap_or_else(|| panic!("no {message}"));
        let (call, _) = before.rsplit_once("!(").unwrap();
        // The macro of the level `warning` is `warn!`.
        let macro_name = if level == "warning" { "warn" } else { level };
        assert!(call.ends_with(macro_name), "{message} is not logged at {level}");
    }
}
