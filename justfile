# Lists the recipes.
default:
    @just --list

# Starts the server with a sample resume, without any settings.
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# Starts the server: `just run`, or another command of the program: `just run check`.
run command="serve" *arguments:
    cargo run --release -- {{ command }} {{ arguments }}

# Runs all tests. The arguments go to cargo test: `just test --test suite -- architecture`.
test *arguments:
    tests/run {{ arguments }}

# Installs what the tests need, then runs all tests.
test-install *arguments:
    tests/run --install {{ arguments }}

# Formats the code.
format:
    cargo fmt

# Checks format, lints and documentation.
lint:
    .ci/run format clippy clippy-release docs

# Checks licences, sources and advisories of the dependencies. Needs cargo-deny.
deny:
    cargo deny --locked check

# Runs every check a change must pass.
gate:
    .ci/run

# Runs a benchmark of docs/performance.md: `just bench session`.
bench name *arguments:
    cargo bench --locked --bench {{ name }} -- {{ arguments }}

# Injects random faults under load: `just torture --minutes 10 --store postgres`.
torture *arguments:
    tests/torture {{ arguments }}

# Builds the container image.
image tag="resume-chatbot":
    docker build --file Containerfile --tag {{ tag }} .

# Measures the chat in Chromium beside a page made with deep-chat. Needs TEST_NODE_MODULES.
bench-browser:
    node benches/browser.mjs target/release/resume-chatbot
