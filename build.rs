//! Prepares the browser files of `assets/` for the binary: minifies the JavaScript, compresses
//! every file, and derives the revision that the addresses of cacheable files contain.
//!
//! Writes `assets.rs` into the output directory; `src/http/assets.rs` includes it.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_minifier::{Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;
use sha2::{Digest, Sha256};

#[path = "build/bundle.rs"]
mod bundle;
#[path = "build/locales.rs"]
mod locales;
#[path = "build/stylesheet.rs"]
mod stylesheet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The directory of the browser files.
const SOURCE: &str = "assets";

/// Modules that are also served at the root, under an address that never changes. Other sites
/// import them.
const ENTRY_POINTS: [&str; 1] = ["client/client.js"];

/// Modules of the npm package that import other packages, which browsers cannot.
const PACKAGE_ONLY: [&str; 2] = ["client/ai-sdk.js", "client/react.js"];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The module that defines the widget. It is served at the root as one file, because the pages of
/// other sites load it at once.
const WIDGET: &str = "widget/widget.js";

/// Modules that are served with everything that they import, so that a page needs one request.
const BUNDLES: [&str; 3] = ["ui/comment-form.js", "ui/conversations-list.js", "widget/chat.js"];

/// The directory of the widget's modules, which are served only as bundles.
const BUNDLED: &str = "widget/";

/// The number of hexadecimal digits of a revision.
const REVISION_DIGITS: usize = 16;

/// A file as it is served.
struct Asset {
    /// The path below the directory of the revision; for an entry point, from the root.
    path: String,
    media_type: &'static str,
    content: Vec<u8>,
}

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build");
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut files = read_files(Path::new(SOURCE))?;
    let languages = locales::languages(Path::new(SOURCE))?;
    add_texts(&mut files, &languages)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    for path in BUNDLES {
        let source = bundle::bundle(Path::new(SOURCE), &files, path)?;
        files.push(javascript(path, &source)?);
    }
    let revision = revision_of(&files);
    let mut entry_points = entry_points(&files, &revision)?;
    entry_points.push(widget(&files, &revision)?);
    let mut code = format!("pub(in crate::http) const REVISION: &str = \"{revision}\";\n\n");
    write_table(&mut code, "FILES", &files, &output)?;
    write_table(&mut code, "ENTRY_POINTS", &entry_points, &output)?;
    locales::write_table(&mut code, &languages)?;
    fs::write(output.join("assets.rs"), code)?;
    Ok(())
}

/// Reads and minifies all files that are served as they are.
fn read_files(root: &Path) -> Result<Vec<Asset>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(asset) = read_file(root, &path)? {
                files.push(asset);
            }
        }
    }
    Ok(files)
}

/// Returns `None` for files that are not served as they are, such as templates, package metadata
/// and parts of a bundle.
fn read_file(root: &Path, path: &Path) -> Result<Option<Asset>> {
    let name = path.strip_prefix(root)?.to_str().ok_or("a file name is not UTF-8")?.replace('\\', "/");
    if name.starts_with(BUNDLED) || BUNDLES.contains(&name.as_str()) {
        return Ok(None);
    }
    let (media_type, content) = match path.extension().and_then(OsStr::to_str) {
        Some("js") if PACKAGE_ONLY.contains(&name.as_str()) => return Ok(None),
        Some("js") => return javascript(&name, &fs::read_to_string(path)?).map(Some),
        Some("css") => {
            ("text/css; charset=utf-8", stylesheet::minify(&fs::read_to_string(path)?).into_bytes())
        }
        Some("svg") => ("image/svg+xml", fs::read(path)?),
        Some("png") => ("image/png", fs::read(path)?),
        Some("ico") => ("image/x-icon", fs::read(path)?),
        _ => return Ok(None),
    };
    Ok(Some(Asset { path: name, media_type, content }))
}

/// Adds the modules with the texts of each language.
fn add_texts(files: &mut Vec<Asset>, languages: &[(String, PathBuf)]) -> Result<()> {
    let mut modules = vec![locales::index(languages)];
    for (language, path) in languages {
        modules.extend(locales::modules(language, &fs::read_to_string(path)?)?);
    }
    for (path, source) in modules {
        files.push(javascript(&path, &source)?);
    }
    Ok(())
}

fn javascript(path: &str, source: &str) -> Result<Asset> {
    let content = minify(source, path)?.into_bytes();
    Ok(Asset { path: path.to_owned(), media_type: JAVASCRIPT, content })
}

fn minify(source: &str, name: &str) -> Result<String> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::mjs()).parse();
    if let Some(problem) = parsed.diagnostics.first() {
        return Err(format!("{SOURCE}/{name}: {problem}").into());
    }
    let mut program = parsed.program;
    let minified = Minifier::new(MinifierOptions::default()).minify(&allocator, &mut program);
    let options =
        CodegenOptions { minify: true, comments: CommentOptions::disabled(), ..CodegenOptions::default() };
    let codegen = Codegen::new()
        .with_options(options)
        .with_scoping(minified.scoping)
        .with_private_member_mappings(minified.class_private_mappings);
    Ok(codegen.build(&program).code)
}

/// Returns a hash of all files. One revision covers all of them, so that the relative imports
/// between modules need no rewriting.
fn revision_of(files: &[Asset]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), &file.content] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    let mut revision = hex(&hash.finalize());
    revision.truncate(REVISION_DIGITS);
    revision
}

/// Returns the modules at the root, which import from the directory of the revision.
fn entry_points(files: &[Asset], revision: &str) -> Result<Vec<Asset>> {
    let entry_point = |path: &str| {
        let file = files
            .iter()
            .find(|file| file.path == path)
            .ok_or_else(|| format!("{SOURCE}/{path} is missing"))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let content = format!("export * from\"./assets/{revision}/{path}\";");
        Ok(Asset { path: format!("/{name}"), media_type: file.media_type, content: content.into_bytes() })
    };
    ENTRY_POINTS.into_iter().map(entry_point).collect()
}

/// Returns the widget, which loads the chat from the directory of the revision.
fn widget(files: &[Asset], revision: &str) -> Result<Asset> {
    let source = bundle::bundle(Path::new(SOURCE), files, WIDGET)?;
    let address = |directory: &str| format!("new URL(\"./{directory}chat.js\", import.meta.url)");
    if !source.contains(&address("")) {
        return Err(format!("{SOURCE}/{WIDGET} does not load the chat").into());
    }
    let located = source.replace(&address(""), &address(&format!("assets/{revision}/{BUNDLED}")));
    javascript("/widget.js", &located)
}

/// Adds a table of files to the code, and writes their contents next to it.
fn write_table(code: &mut String, name: &str, files: &[Asset], output: &Path) -> Result<()> {
    writeln!(code, "pub(in crate::http) static {name}: [Asset; {}] = [", files.len())?;
    for (index, file) in files.iter().enumerate() {
        let hash = hex(&Sha256::digest(&file.content));
        let variants = [
            ("identity", file.content.clone()),
            ("gzip", gzip(&file.content)?),
            ("brotli", brotli(&file.content)?),
        ];
        let etag = hash.get(..REVISION_DIGITS).unwrap_or(&hash);
        writeln!(
            code,
            "    Asset {{ path: {:?}, media_type: {:?}, etag: {etag:?},",
            file.path, file.media_type
        )?;
        for (variant, content) in variants {
            let file_name = format!("{}-{index}.{variant}", name.to_lowercase());
            fs::write(output.join(&file_name), content)?;
            writeln!(
                code,
                "        {variant}: include_bytes!(concat!(env!(\"OUT_DIR\"), {:?})),",
                format!("/{file_name}")
            )?;
        }
        writeln!(code, "    }},")?;
    }
    writeln!(code, "];\n")?;
    Ok(())
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, content, &mut compressed)?;
    Ok(compressed)
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let params =
        brotli::enc::BrotliEncoderParams { quality: 11, size_hint: content.len(), ..Default::default() };
    brotli::BrotliCompress(&mut &*content, &mut compressed, &params)?;
    Ok(compressed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
