//! Executes the steps of the Containerfile without a container engine.
//!
//! The build stage runs in a scratch directory, with the files that `.dockerignore` lets in and
//! this machine's own Rust. The final stage runs on a writable overlay of this machine's root file
//! system, which needs root and Debian.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Makes the release profile cheap. What the steps do stays the same.
const FAST_RELEASE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An instruction of the Containerfile, on one line.
struct Instruction {
    keyword: String,
    arguments: String,
}

/// The instructions from one `FROM` to the next, without the `FROM`.
type Stage = Vec<Instruction>;

/// The build stage and the final stage.
fn stages() -> (Stage, Stage) {
    let mut stages: Vec<Stage> = Vec::new();
    let text = read("Containerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for line in lines.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (keyword, arguments) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        if keyword == "FROM" {
            stages.push(Vec::new());
        } else {
            let arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
            stages.last_mut().unwrap().push(Instruction { keyword: keyword.to_owned(), arguments });
        }
    }
    let last = stages.pop().unwrap();
    let build = stages.pop().unwrap();
    assert!(stages.is_empty(), "the test knows of two stages");
    (build, last)
}

/// The arguments of the only instruction with this keyword.
fn only<'a>(stage: &'a Stage, keyword: &str) -> &'a str {
    let mut found = stage.iter().filter(|instruction| instruction.keyword == keyword);
    let instruction = found.next().unwrap_or_else(|| panic!("the stage has no {keyword}"));
    assert!(found.next().is_none(), "the stage has {keyword} twice");
    &instruction.arguments
}

/// The exec form of a command.
fn exec_form(arguments: &str) -> Vec<String> {
    let start = arguments.find('[').unwrap_or_else(|| panic!("not in exec form: {arguments}"));
    serde_json::from_str(&arguments[start..]).unwrap()
}

/// Whether `.dockerignore` lets a path into the build. The last pattern that matches the path, or a
/// parent of it, decides.
fn enters_the_build(path: &Path, patterns: &[&str]) -> bool {
    let last = patterns.iter().rfind(|pattern| {
        let pattern = pattern.trim_start_matches('!');
        assert!(
            pattern == "*" || !pattern.contains(['*', '?', '[', '/']),
            "the test does not know {pattern}"
        );
        pattern == "*" || path.starts_with(pattern)
    });
    last.is_none_or(|pattern| pattern.starts_with('!'))
}

/// The top-level entries of this checkout that enter the build.
fn build_context() -> BTreeSet<PathBuf> {
    let text = read(".dockerignore");
    let patterns: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let entries = fs::read_dir(repository()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let private = [".env", ".git", "chat.db", "chat.db-wal", "resume.pdf", "target"].map(PathBuf::from);
    for path in &private {
        assert!(!enters_the_build(path, &patterns), "{} enters the build", path.display());
    }
    entries.filter(|path| enters_the_build(path, &patterns)).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

/// A path of the image, below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.components().filter(|part| !matches!(part, Component::RootDir)).collect::<PathBuf>())
}

fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Runs the build stage and returns the directory that stands for its root.
fn run_build_stage(stage: &Stage) -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("container");
    let root = scratch.join("build-stage");
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    let mut directory = root.clone();
    for Instruction { keyword, arguments } in stage {
        match keyword.as_str() {
            "WORKDIR" => {
                directory = below(&root, Path::new(arguments));
                fs::create_dir_all(&directory).unwrap();
            }
            "COPY" => {
                assert_eq!(arguments, ". .", "the test copies the whole context");
                for entry in build_context() {
                    copy(&repository().join(&entry), &directory.join(&entry));
                }
            }
            "RUN" => run_in_scratch(arguments, &root, &directory, &scratch.join("caches")),
            _ => panic!("the test does not know {keyword} in the build stage"),
        }
    }
    root
}

/// Runs a step in `directory`. Cache mounts below it become links to directories that outlive the
/// test.
fn run_in_scratch(arguments: &str, root: &Path, directory: &Path, caches: &Path) {
    let mut command = arguments;
    while let Some(mount) = command.strip_prefix("--mount=") {
        let (options, rest) = mount.split_once(' ').unwrap();
        command = rest;
        assert!(options.starts_with("type=cache,"), "the test does not know {options}");
        let target = options.split(',').find_map(|option| option.strip_prefix("target=")).unwrap();
        let place = below(root, Path::new(target));
        // Any other cache is Cargo's own, which this machine has elsewhere.
        if place.starts_with(directory) {
            let cache = below(caches, Path::new(target));
            fs::create_dir_all(&cache).unwrap();
            std::os::unix::fs::symlink(cache, place).unwrap();
        }
    }
    assert!(!command.contains(" /"), "an absolute path leads out of the scratch directory: {command}");
    // The other tests run at the same time and are sensitive to load.
    let mut step = Command::new("nice");
    step.args(["-n", "19", "sh", "-c", command]).current_dir(directory).stdin(Stdio::null());
    step.envs(FAST_RELEASE).env_remove("CARGO_TARGET_DIR");
    let output = step.output().unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Only what the build reads may enter it.
fn check_that_the_context_is_minimal(directory: &Path) {
    // Read by Cargo itself. Of the benches it only checks that they exist.
    let mut needed: BTreeSet<PathBuf> =
        [".cargo", "Cargo.toml", "Cargo.lock", "benches"].map(PathBuf::from).into();
    // Everything that the compiler read, as it reports it.
    let report = fs::read_to_string(directory.join("target/release/resume-chatbot.d")).unwrap();
    let (_, files) = report.split_once(": ").unwrap();
    for file in files.split_whitespace() {
        let path = Path::new(file).strip_prefix(directory).unwrap();
        let top = Path::new(path.components().next().unwrap().as_os_str());
        // The build script's output.
        if top != Path::new("target") {
            needed.insert(top.into());
        }
    }
    assert_eq!(build_context(), needed);
}

/// One test, because a second one that waits for the build would keep another test from running.
#[test]
fn the_steps_of_the_containerfile_build_an_image_that_becomes_healthy() {
    let (build, last) = stages();
    let root = run_build_stage(&build);
    check_that_the_context_is_minimal(&below(&root, Path::new(only(&build, "WORKDIR"))));
    let (program, _) = copied_from_build(only(&last, "COPY"));
    let version = Command::new(below(&root, program)).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(version.trim(), concat!("resume-chatbot ", env!("CARGO_PKG_VERSION")));
    run_final_stage(&last, &root);
}

/// Source and destination of a `COPY` from the build stage.
fn copied_from_build(arguments: &str) -> (&Path, &str) {
    let paths = arguments.strip_prefix("--from=build ").unwrap_or_else(|| panic!("{arguments}"));
    let (from, to) = paths.split_once(' ').unwrap();
    (Path::new(from), to)
}

#[test]
fn the_image_listens_everywhere_stores_in_the_volume_and_is_not_root() {
    let (_, last) = stages();
    let variables: Vec<&str> = only(&last, "ENV").split(' ').collect();
    assert!(variables.contains(&"HOST=0.0.0.0"), "{variables:?}");
    assert!(variables.contains(&"DATABASE_URL=sqlite:///data/resume-chatbot.db"), "{variables:?}");
    assert_eq!(exec_form(only(&last, "VOLUME")), ["/data"]);
    assert_eq!(only(&last, "USER"), "10001:10001");
    assert_eq!(only(&last, "STOPSIGNAL"), "SIGTERM");
    assert_eq!(exec_form(only(&last, "ENTRYPOINT")), ["resume-chatbot"]);
    assert_eq!(exec_form(only(&last, "CMD")), ["serve"]);
    assert_eq!(exec_form(only(&last, "HEALTHCHECK")), ["resume-chatbot", "healthcheck"]);
}

/// Enters a mount namespace where `$1/root` is a writable view of `/`, and runs the script `$2`.
const ENTER_OVERLAY: &str = r#"
    set -e
    mount -t tmpfs tmpfs "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
    mount --rbind /proc "$1/root/proc"
    mount --rbind /dev "$1/root/dev"
    root=$1/root
    eval "$2"
"#;

/// Runs a script in an overlay of this machine's root file system.
fn in_overlay(script: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    // In a process namespace of its own, so that nothing outlives the script.
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER_OVERLAY, "sh"]);
    command.arg(directory.path()).arg(script);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Serves as the image does, until the health check succeeds, and then stops it as an engine does.
const SERVE: &str = r#"
    as_image="chroot --userspec=$user $root env -i PATH=/usr/local/bin:/usr/bin:/bin $variables"
    status=0
    $as_image $healthcheck || status=$?
    test $status = 1
    $as_image sh -c 'cd /data && exec "$@"' sh $command &
    server=$!
    tries=0
    until $as_image $healthcheck; do
        tries=$((tries + 1))
        if [ $tries -gt 240 ] || ! kill -0 $server; then echo "it did not become healthy" >&2; exit 1; fi
        sleep 0.5
    done
    stat -c '%u:%g %a' "$root"/data/resume-chatbot.db
    $as_image id -u
    kill -s "$signal" $server
    wait $server
"#;

/// Runs the final stage on an overlay, then the command and the health check of the image.
fn run_final_stage(stage: &Stage, build_root: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || !Path::new("/etc/debian_version").exists() || !in_overlay("true").status.success() {
        let message = "the image's final stage was NOT covered: it needs root, Debian and overlay mounts";
        let _ = writeln!(std::io::stderr(), "{message}");
        return;
    }
    let mut script = String::new();
    for Instruction { keyword, arguments } in stage {
        let quoted = shell_quote(arguments);
        match keyword.as_str() {
            "RUN" => script += &format!("chroot $root sh -c {quoted} >&2\n"),
            "COPY" => {
                let (from, to) = copied_from_build(arguments);
                let from = below(build_root, from);
                script += &format!("cp -p {} $root{to}\n", shell_quote(&from.display().to_string()));
            }
            "USER" => script += &format!("user={quoted}\n"),
            "STOPSIGNAL" => script += &format!("signal={}\n", arguments.trim_start_matches("SIG")),
            "ENV" | "LABEL" | "WORKDIR" | "VOLUME" | "EXPOSE" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD" => {}
            _ => panic!("the test does not know {keyword} in the final stage"),
        }
    }
    // What `docker run -e` would add: a resume, a model server that needs no key, and free ports.
    let resume = shell_quote(&repository().join("examples/resumes/sample.md").display().to_string());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let variables = format!(
        "{} PORT={port} OPERATOR_ADDRESS=off LLM_BASE_URL=http://127.0.0.1:9/v1 RESUME_PATH=/resume.md",
        only(stage, "ENV")
    );
    let command = [exec_form(only(stage, "ENTRYPOINT")), exec_form(only(stage, "CMD"))].concat().join(" ");
    let healthcheck = exec_form(only(stage, "HEALTHCHECK")).join(" ");
    script += &format!("install -m 644 {resume} $root/resume.md\n");
    script += &format!("variables={}\n", shell_quote(&variables));
    script += &format!("command={}\n", shell_quote(&command));
    script += &format!("healthcheck={}\n", shell_quote(&healthcheck));
    let output = in_overlay(&(script + SERVE));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.ends_with("10001:10001 600\n10001\n"), "{stdout}");
}

/// The seconds in a text such as `40s`.
fn seconds(text: &str) -> u32 {
    let text = text.trim().trim_matches('"');
    text.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn compose_waits_longer_for_the_container_to_stop_than_the_server_takes() {
    let (compose, defaults) = (read("compose.yaml"), read("config/default.toml"));
    let value = |text: &str, key: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(key).map(ToOwned::to_owned));
        seconds(&found.unwrap_or_else(|| panic!("{key} is not set")))
    };
    assert!(value(&compose, "stop_grace_period:") > value(&defaults, "shutdown_timeout ="));
}
