//! Joins a module and everything that it imports into one module.
//!
//! All modules share one scope, in which each name at the top of a module is followed by the
//! module's number. So the minifier can shorten names across modules and remove what is not used.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use oxc_allocator::{Allocator, TakeIn as _};
use oxc_ast::ast::{ImportDeclaration, ImportDeclarationSpecifier, Program, Statement};
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_ecmascript::BoundNames as _;
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::SourceType;

use crate::{Asset, Result, stylesheet};

/// Names by the name under which a module exports them.
type Exports = BTreeMap<String, String>;

/// Returns the source of a module that exports what `entry` exports, without static imports.
/// `import … with { type: "text" }` of a style sheet and `with { type: "json" }` become literals.
///
/// Default exports of JavaScript, imports of a whole namespace and cycles are not supported.
///
/// Modules that are not below `root` are looked for in `generated`.
pub(crate) fn bundle(root: &Path, generated: &[Asset], entry: &str) -> Result<String> {
    let mut bundle = Bundle { root, generated, modules: BTreeMap::new(), code: String::new() };
    let exports = bundle.add(Path::new(entry))?;
    let names: Vec<String> = exports.iter().map(|(name, local)| format!("{local} as {name}")).collect();
    Ok(match names.join(",").as_str() {
        "" => bundle.code,
        names => format!("{}export{{{names}}};", bundle.code),
    })
}

struct Bundle<'a> {
    root: &'a Path,
    generated: &'a [Asset],
    /// By path below the root; `None` while the module's imports are read.
    modules: BTreeMap<PathBuf, Option<Exports>>,
    /// The modules in the order in which they run.
    code: String,
}

impl Bundle<'_> {
    /// Adds a module after the modules that it imports, unless it was added before. Returns its
    /// exports.
    fn add(&mut self, path: &Path) -> Result<Exports> {
        if let Some(known) = self.modules.get(path) {
            return known.clone().ok_or_else(|| format!("{} imports itself", path.display()).into());
        }
        let number = self.modules.len();
        self.modules.insert(path.to_path_buf(), None);
        let source = self.read(path)?;
        let literal = match path.extension().and_then(|extension| extension.to_str()) {
            Some("css") => Some(serde_json::to_string(&stylesheet::minify(&source))?),
            Some("json") => Some(serde_json::from_str::<serde_json::Value>(&source)?.to_string()),
            _ => None,
        };
        let exports = match literal {
            Some(literal) => {
                let name = format!("literal${number}");
                writeln!(self.code, "const {name}={literal};")?;
                Exports::from([("default".to_owned(), name)])
            }
            None => self.add_javascript(path, &source, number)?,
        };
        self.modules.insert(path.to_path_buf(), Some(exports.clone()));
        Ok(exports)
    }

    fn read(&self, path: &Path) -> Result<String> {
        match self.generated.iter().find(|asset| Path::new(&asset.path) == path) {
            Some(asset) if !self.root.join(path).exists() => Ok(String::from_utf8(asset.content.clone())?),
            _ => Ok(fs::read_to_string(self.root.join(path))
                .map_err(|error| format!("{}: {error}", path.display()))?),
        }
    }

    fn add_javascript(&mut self, path: &Path, source: &str, number: usize) -> Result<Exports> {
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, source, SourceType::mjs()).parse();
        if let Some(problem) = parsed.diagnostics.first() {
            return Err(format!("{}: {problem}", path.display()).into());
        }
        let mut program = parsed.program;
        let mut scoping = SemanticBuilder::new().build(&program).semantic.into_scoping();
        let imported = self.add_imports(path, &program)?;
        let names = rename(&mut scoping, &imported, number);
        let mut exports = Exports::new();
        for statement in program.body.take_in(&&allocator) {
            if let Some(kept) = self.without_module_syntax(path, statement, &names, &mut exports)? {
                program.body.push(kept);
            }
        }
        let options = CodegenOptions { comments: CommentOptions::disabled(), ..CodegenOptions::default() };
        let code = Codegen::new().with_options(options).with_scoping(Some(scoping)).build(&program).code;
        self.code += &relocate_dynamic_imports(path, &code)?;
        Ok(exports)
    }

    /// Adds the modules that a module imports. Returns the names of what it imports, by its own
    /// names for it.
    fn add_imports(&mut self, importer: &Path, program: &Program<'_>) -> Result<HashMap<String, String>> {
        let mut names = HashMap::new();
        for statement in &program.body {
            let Statement::ImportDeclaration(import) = statement else { continue };
            let exports = self.add(&resolve(importer, &import.source.value)?)?;
            for (local, name) in imported_names(import) {
                let found = name.as_deref().and_then(|name| exports.get(name));
                let unique = found.ok_or_else(|| {
                    format!("{}: cannot import {local} from {}", importer.display(), import.source.value)
                })?;
                names.insert(local, unique.clone());
            }
        }
        Ok(names)
    }

    /// Returns what remains of a statement without `import` and `export`, and notes its exports.
    fn without_module_syntax<'s>(
        &mut self,
        path: &Path,
        statement: Statement<'s>,
        names: &HashMap<String, String>,
        exports: &mut Exports,
    ) -> Result<Option<Statement<'s>>> {
        let mut export = |name: &str, local: &str, names: &HashMap<String, String>| match names.get(local) {
            Some(unique) => Ok(drop(exports.insert(name.to_owned(), unique.clone()))),
            None => Err(format!("{}: cannot export {local}", path.display())),
        };
        match statement {
            Statement::ImportDeclaration(_) => Ok(None),
            Statement::ExportDeclaration(exported) => {
                let declaration = exported.unbox().declaration;
                let mut declared = Vec::new();
                declaration.bound_names(&mut |it| declared.push(it.name.to_string()));
                declared.iter().try_for_each(|name| export(name, name, names))?;
                Ok(Some(declaration.into()))
            }
            Statement::ExportNamedDeclaration(named) => {
                for item in &named.specifiers {
                    export(&item.exported.name(), &item.local.name(), names)?;
                }
                Ok(None)
            }
            Statement::ExportFromDeclaration(named) => {
                let others = self.add(&resolve(path, &named.source.value)?)?;
                let others = others.into_iter().collect();
                for item in &named.specifiers {
                    export(&item.exported.name(), &item.local.name(), &others)?;
                }
                Ok(None)
            }
            Statement::ExportAllDeclaration(_) | Statement::ExportDefaultDeclaration(_) => {
                Err(format!("{}: only exports with names are supported", path.display()).into())
            }
            other => Ok(Some(other)),
        }
    }
}

/// Returns the names that a module gives to what it imports, each with the name of the export;
/// `None` stands for the whole namespace.
fn imported_names(import: &ImportDeclaration<'_>) -> Vec<(String, Option<String>)> {
    let specifiers = import.specifiers.iter().flatten();
    let pair = |specifier: &ImportDeclarationSpecifier<'_>| {
        let exported = match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(item) => Some(item.imported.name().to_string()),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(_) => Some("default".to_owned()),
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(_) => None,
        };
        (specifier.local().name.to_string(), exported)
    };
    specifiers.map(pair).collect()
}

/// Gives each name at the top of a module the name that is unique in the bundle. Returns these by
/// the original names.
fn rename(
    scoping: &mut Scoping,
    imported: &HashMap<String, String>,
    number: usize,
) -> HashMap<String, String> {
    let symbols: Vec<_> = scoping.iter_bindings_in(scoping.root_scope_id()).collect();
    let mut names = HashMap::new();
    for symbol in symbols {
        let local = scoping.symbol_name(symbol).to_owned();
        let unique = imported.get(&local).cloned().unwrap_or_else(|| format!("{local}${number}"));
        scoping.set_symbol_name(symbol, unique.as_str().into());
        names.insert(local, unique);
    }
    names
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
