//! The container image: its build copies everything the program needs, and nothing private.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the paths that the build stage copies from the checkout.
fn copied_paths() -> BTreeSet<String> {
    let text = read("Containerfile");
    let lines =
        text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"));
    let sources = lines.flat_map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.pop();
        words
    });
    sources.map(ToOwned::to_owned).collect()
}

/// Collects the top-level names of all paths that are compiled into the program.
fn collect_included_paths(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            collect_included_paths(&entry, found);
            continue;
        }
        // Files included only by tests are not part of the program.
        if entry.ends_with("reference.rs") || entry.display().to_string().ends_with("_tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&entry).unwrap();
        for call in ["include_str!(\"", "include_bytes!(\"", "embed_migrations!(\""] {
            let paths = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            let top_level_names = paths.filter_map(|path| path.split('/').find(|part| *part != ".."));
            found.extend(top_level_names.map(ToOwned::to_owned));
        }
    }
}

#[test]
fn build_stage_copies_exactly_what_the_program_includes() {
    let copied = copied_paths();
    let mut needed =
        BTreeSet::from([".cargo", "Cargo.toml", "Cargo.lock", "src", "benches"].map(ToOwned::to_owned));
    collect_included_paths(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut needed);

    assert!(needed.contains("assets") && needed.contains("migrations"), "{needed:?}");
    assert_eq!(copied, needed);
}

#[test]
fn build_context_contains_only_the_copied_paths() {
    let ignored = read(".containerignore");
    assert_eq!(ignored, read(".dockerignore"));

    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"));

    let included = lines[1..].iter().filter_map(|line| line.strip_prefix('!')).map(ToOwned::to_owned);
    assert_eq!(included.collect::<BTreeSet<_>>(), copied_paths());
}

#[test]
fn image_runs_without_root_and_has_a_health_check() {
    let text = read("Containerfile");
    let stage = text.rsplit("\nFROM ").next().unwrap_or_default();

    for line in [
        "USER 10001:10001",
        "STOPSIGNAL SIGTERM",
        "    DATABASE_URL=sqlite:///data/resume-chatbot.db \\",
        "ENV HOST=0.0.0.0 \\",
        "ENTRYPOINT [\"resume-chatbot\"]",
    ] {
        assert!(stage.lines().any(|stage_line| stage_line == line), "{line} is not in the image");
    }

    assert!(stage.contains("CMD [\"resume-chatbot\", \"healthcheck\"]"), "{stage}");
}
