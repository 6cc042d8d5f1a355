//! What an image is built from: the build copies all that the program is compiled from, and nothing private.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the build stage copies from the checkout.
fn copied() -> BTreeSet<String> {
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

/// The first part of every path from the root of the repository that is compiled in.
fn compiled_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            compiled_in(&entry, found);
            continue;
        }
        // What only tests include is no part of the program.
        if entry.ends_with("reference.rs") || entry.display().to_string().ends_with("_tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&entry).unwrap();
        for call in ["include_str!(\"", "include_bytes!(\"", "embed_migrations!(\""] {
            let paths = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            let firsts = paths.filter_map(|path| path.split('/').find(|part| *part != ".."));
            found.extend(firsts.map(ToOwned::to_owned));
        }
    }
}

#[test]
fn the_image_is_built_from_all_that_is_compiled_in() {
    let copied = copied();
    let mut needed =
        BTreeSet::from([".cargo", "Cargo.toml", "Cargo.lock", "src", "benches"].map(ToOwned::to_owned));
    compiled_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut needed);
    assert!(needed.contains("assets") && needed.contains("migrations"), "{needed:?}");
    assert_eq!(copied, needed);
}

#[test]
fn nothing_but_that_reaches_the_builder() {
    let ignored = read(".containerignore");
    assert_eq!(ignored, read(".dockerignore"));
    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"));
    let let_through = lines[1..].iter().filter_map(|line| line.strip_prefix('!')).map(ToOwned::to_owned);
    assert_eq!(let_through.collect::<BTreeSet<_>>(), copied());
}

#[test]
fn the_image_is_healthy_when_the_server_is_ready_and_has_no_root() {
    let text = read("Containerfile");
    let stage = text.rsplit("\nFROM ").next().unwrap_or_default();
    for line in [
        "USER 10001:10001",
        "STOPSIGNAL SIGTERM",
        "    DATABASE_URL=sqlite:///data/resume-chatbot.db \\",
        "ENV HOST=0.0.0.0 \\",
        "ENTRYPOINT [\"resume-chatbot\"]",
    ] {
        assert!(stage.lines().any(|each| each == line), "{line} is not in the image");
    }
    assert!(stage.contains("CMD [\"resume-chatbot\", \"healthcheck\"]"), "{stage}");
}
