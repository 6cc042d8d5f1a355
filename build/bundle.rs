//! Joins a module and everything that it imports into one module.
//!
//! Each module becomes a function that runs once and returns its exports. That keeps its names
//! apart from those of other modules, and lets the minifier shorten them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use oxc_allocator::Allocator;
use oxc_ast::ast::{Declaration, ExportDefaultDeclarationKind, ImportDeclarationSpecifier, Statement};
use oxc_ecmascript::BoundNames as _;
use oxc_parser::Parser;
use oxc_span::{GetSpan as _, SourceType, Span};

use crate::{Asset, Result, stylesheet};

/// Returns the source of a module that exports what `entry` exports, without static imports.
/// `import … with { type: "text" }` of a style sheet and `with { type: "json" }` become literals.
///
/// Live bindings and cycles are not supported: `export let` and an import of a module that is
/// still being read are errors.
///
/// Modules that are not below `root` are looked for in `generated`.
pub(crate) fn bundle(root: &Path, generated: &[Asset], entry: &str) -> Result<String> {
    let mut bundle = Bundle { root, generated, modules: BTreeMap::new(), code: String::new() };
    let module = bundle.add(&PathBuf::from(entry))?;
    let names = module.exports.join(",");
    Ok(match names.as_str() {
        "" => bundle.code,
        names => format!("{}export const{{{names}}}={};", bundle.code, module.variable),
    })
}

struct Bundle<'a> {
    root: &'a Path,
    generated: &'a [Asset],
    /// By path below the root; `None` while the module's imports are read.
    modules: BTreeMap<PathBuf, Option<Module>>,
    /// The modules in the order in which they run.
    code: String,
}

#[derive(Clone)]
struct Module {
    /// The constant that holds the exports.
    variable: String,
    exports: Vec<String>,
}

impl Bundle<'_> {
    /// Adds a module after the modules that it imports, unless it was added before.
    fn add(&mut self, path: &Path) -> Result<Module> {
        if let Some(known) = self.modules.get(path) {
            return known.clone().ok_or_else(|| format!("{} imports itself", path.display()).into());
        }
        self.modules.insert(path.to_path_buf(), None);
        let source = self.read(path)?;
        let (value, exports) = match path.extension().and_then(|extension| extension.to_str()) {
            Some("css") => (literal(&stylesheet::with_own_rem(&stylesheet::minify(&source)))?, Vec::new()),
            Some("json") => (serde_json::from_str::<serde_json::Value>(&source)?.to_string(), Vec::new()),
            _ => self.module(path, &source)?,
        };
        let variable = format!("module{}", self.modules.values().flatten().count());
        writeln!(self.code, "const {variable}={value};")?;
        let module = Module { variable, exports };
        self.modules.insert(path.to_path_buf(), Some(module.clone()));
        Ok(module)
    }

    fn read(&self, path: &Path) -> Result<String> {
        match self.generated.iter().find(|asset| Path::new(&asset.path) == path) {
            Some(asset) if !self.root.join(path).exists() => Ok(String::from_utf8(asset.content.clone())?),
            _ => Ok(fs::read_to_string(self.root.join(path))
                .map_err(|error| format!("{}: {error}", path.display()))?),
        }
    }

    /// Returns the module as an expression, with the names that it exports.
    fn module(&mut self, path: &Path, source: &str) -> Result<(String, Vec<String>)> {
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, source, SourceType::mjs()).parse();
        if let Some(problem) = parsed.diagnostics.first() {
            return Err(format!("{}: {problem}", path.display()).into());
        }
        let mut edits = Edits { source, code: String::new(), position: 0 };
        let mut exports = BTreeMap::new();
        for statement in &parsed.program.body {
            if let Some((span, replacement)) = self.rewrite(path, statement, &mut exports)? {
                edits.replace(span, &replacement)?;
            }
        }
        let body = relocate_dynamic_imports(path, &edits.finish()?)?;
        let returned: Vec<String> = exports.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let value = format!("(()=>{{{body}\nreturn{{{}}}}})()", returned.join(","));
        Ok((value, exports.into_keys().collect()))
    }

    /// Returns what takes the place of an import or export; `None` for all other statements.
    fn rewrite(
        &mut self,
        path: &Path,
        statement: &Statement<'_>,
        exports: &mut BTreeMap<String, String>,
    ) -> Result<Option<(Span, String)>> {
        let unsupported = |what: &str| format!("{}: {what} is not supported", path.display());
        let mut export = |name: &str, value: String| exports.insert(name.to_owned(), value);
        Ok(Some(match statement {
            Statement::ImportDeclaration(import) => {
                let from = self.add(&resolve(path, &import.source.value)?)?;
                let specifiers = import.specifiers.iter().flatten();
                (import.span, specifiers.map(|specifier| binding(&from, specifier)).collect())
            }
            Statement::ExportDeclaration(declared) => {
                if matches!(&declared.declaration, Declaration::VariableDeclaration(it) if !it.kind.is_const())
                {
                    return Err(unsupported("an exported variable").into());
                }
                declared.declaration.bound_names(&mut |name| {
                    export(name.name.as_str(), name.name.to_string());
                });
                (Span::new(declared.span.start, declared.declaration.span().start), String::new())
            }
            Statement::ExportNamedDeclaration(named) => {
                for item in &named.specifiers {
                    export(item.exported.name().as_str(), item.local.name().to_string());
                }
                (named.span, String::new())
            }
            Statement::ExportFromDeclaration(named) => {
                let from = self.add(&resolve(path, &named.source.value)?)?;
                for item in &named.specifiers {
                    let value = format!("{}.{}", from.variable, item.local.name());
                    export(item.exported.name().as_str(), value);
                }
                (named.span, String::new())
            }
            Statement::ExportDefaultDeclaration(default) => {
                export("default", "defaultExport".to_owned());
                let named = match &default.declaration {
                    ExportDefaultDeclarationKind::FunctionDeclaration(it) => it.id.is_some(),
                    ExportDefaultDeclarationKind::ClassDeclaration(it) => it.id.is_some(),
                    _ => false,
                };
                if named {
                    return Err(unsupported("a default export with a name").into());
                }
                let start = default.declaration.span().start;
                (Span::new(default.span.start, start), "const defaultExport=".to_owned())
            }
            Statement::ExportAllDeclaration(all) if all.exported.is_none() => {
                let from = self.add(&resolve(path, &all.source.value)?)?;
                for name in &from.exports {
                    export(name, format!("{}.{name}", from.variable));
                }
                (all.span, String::new())
            }
            Statement::ExportAllDeclaration(_) => return Err(unsupported("export * as").into()),
            _ => return Ok(None),
        }))
    }
}

/// Returns the statement that binds an imported name.
fn binding(from: &Module, specifier: &ImportDeclarationSpecifier<'_>) -> String {
    let variable = &from.variable;
    match specifier {
        ImportDeclarationSpecifier::ImportSpecifier(item) => {
            format!("const {}={variable}.{};", item.local.name, item.imported.name())
        }
        // A style sheet or a JSON file is its own default export.
        ImportDeclarationSpecifier::ImportDefaultSpecifier(item) if from.exports.is_empty() => {
            format!("const {}={variable};", item.local.name)
        }
        ImportDeclarationSpecifier::ImportDefaultSpecifier(item) => {
            format!("const {}={variable}.default;", item.local.name)
        }
        ImportDeclarationSpecifier::ImportNamespaceSpecifier(item) => {
            format!("const {}={variable};", item.local.name)
        }
    }
}

/// A source in which some parts are replaced, from the start to the end.
struct Edits<'a> {
    source: &'a str,
    code: String,
    position: usize,
}

impl Edits<'_> {
    fn replace(&mut self, span: Span, replacement: &str) -> Result<()> {
        let (start, end) = (usize::try_from(span.start)?, usize::try_from(span.end)?);
        self.code += self.source.get(self.position..start).ok_or("a span is outside of its source")?;
        self.code += replacement;
        self.position = end;
        Ok(())
    }

    fn finish(mut self) -> Result<String> {
        self.code += self.source.get(self.position..).ok_or("a span is outside of its source")?;
        Ok(self.code)
    }
}

fn literal(text: &str) -> Result<String> {
    Ok(serde_json::to_string(text)?)
}

/// Makes the addresses of dynamic imports relative to the bundle, which is in a directory of its own.
fn relocate_dynamic_imports(importer: &Path, source: &str) -> Result<String> {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("import(") {
        output += before;
        output += "import(";
        rest = after;
        let Some((quote, relative)) = after.split_at_checked(1).filter(|(_, it)| it.starts_with('.')) else {
            continue;
        };
        // A template literal continues with an expression.
        let end = relative.find(['"', '`', '$']).ok_or("an import without an end")?;
        let (specifier, following) = relative.split_at_checked(end).unwrap_or((relative, ""));
        let slash = if specifier.ends_with('/') { "/" } else { "" };
        write!(output, "{quote}../{}{slash}", resolve(importer, specifier)?.display())?;
        rest = following;
    }
    output += rest;
    Ok(output)
}

/// Returns the path below the root that a relative specifier names.
fn resolve(importer: &Path, specifier: &str) -> Result<PathBuf> {
    let mut path = importer.parent().map(Path::to_path_buf).unwrap_or_default();
    for component in Path::new(specifier).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return Err(format!("{}: cannot resolve {specifier:?}", importer.display()).into()),
        }
    }
    Ok(path)
}
