//! Tests of the layers of `src`: a file may use its own layer and the layers below, never a layer above.
//!
//! The check parses every file and resolves every path that starts with `crate`, `self` or `super`, in imports, code,
//! attributes and macros. Test code inside `src` follows the same rule. A path inside a string, as in
//! `#[serde(with = "…")]`, is not read.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::{
    Ident, ItemMod, ItemUse, Macro, MetaList, Token, UseTree,
    parse::Parser,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// The modules of each layer, from top to bottom.
const LAYERS: [&[&str]; 11] = [
    &["cli"],
    &["mcp"],
    &["ops"],
    &["analytics"],
    &["inbox"],
    &["lake"],
    &["channels"],
    &["databricks"],
    &["render"],
    &["tables"],
    &["domain"],
];

/// Minimum number of uses of other modules that the check must find. `src` had 1,608 when this limit was set.
const FEWEST_USES: usize = 1_500;

/// One path in a source file, resolved from the root of the crate. A glob ends in `*`.
#[derive(Debug)]
struct Use {
    line: usize,
    path: Vec<String>,
}

impl Use {
    /// Returns the name of the module directly below the root, empty for the root itself.
    fn module(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crate")?;
        self.path.iter().try_for_each(|name| write!(f, "::{name}"))
    }
}

/// Collects the paths that start at the root, the own module or a parent. Any other path starts with a name that an
/// import brings into scope, and that import is collected.
struct Collector {
    /// The module around the syntax under visit, from the root of the crate.
    module: Vec<String>,
    uses: Vec<Use>,
}

impl Collector {
    /// Returns the uses in `source`, the text of `module`.
    fn collect(module: &[&str], source: &str) -> syn::Result<Vec<Use>> {
        let module = module.iter().map(|&name| name.to_owned()).collect();
        let mut collector = Self { module, uses: Vec::new() };
        collector.visit_file(&syn::parse_file(source)?);
        Ok(collector.uses)
    }

    /// Records the path `names`, given as written.
    fn record(&mut self, span: Span, names: &[String]) {
        let mut path = match names.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        let depth = names.iter().take_while(|name| is_root(name)).count();
        let (roots, rest) = names.split_at(depth);
        path.truncate(path.len().saturating_sub(roots.iter().filter(|name| *name == "super").count()));
        path.extend_from_slice(rest);
        self.uses.push(Use { line: span.start().line, path });
    }

    /// Records every leaf of an import below `prefix`.
    fn record_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let below = |name: &str| [prefix, &[name.to_owned()]].concat();
        match tree {
            UseTree::Path(inner) => self.record_tree(&below(&inner.ident.to_string()), &inner.tree),
            UseTree::Name(leaf) if leaf.ident == "self" => self.record(leaf.ident.span(), prefix),
            UseTree::Name(leaf) => self.record(leaf.ident.span(), &below(&leaf.ident.to_string())),
            UseTree::Rename(leaf) if leaf.ident == "self" => self.record(leaf.ident.span(), prefix),
            UseTree::Rename(leaf) => self.record(leaf.ident.span(), &below(&leaf.ident.to_string())),
            UseTree::Glob(leaf) => self.record(leaf.star_token.span, &below("*")),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.record_tree(prefix, tree)),
        }
    }

    /// Records the paths that start with `crate ::` or `super ::` in unparsed tokens.
    fn record_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.record_tokens(group.stream()),
                TokenTree::Ident(root) if *root == "crate" || *root == "super" => {
                    at += self.record_path_tokens(root, &tokens[at..]);
                }
                _ => {}
            }
        }
    }

    /// Records the path that starts with `root` and continues in `tokens`; returns how many tokens belong to it.
    fn record_path_tokens(&mut self, root: &Ident, tokens: &[TokenTree]) -> usize {
        let mut names = vec![root.to_string()];
        let mut at = 0;
        while let [TokenTree::Punct(one), TokenTree::Punct(two), next, ..] = &tokens[at..] {
            if (one.as_char(), two.as_char()) != (':', ':') {
                break;
            }
            match next {
                TokenTree::Ident(name) => names.push(name.to_string()),
                TokenTree::Punct(star) if star.as_char() == '*' => names.push("*".to_owned()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    match Punctuated::<UseTree, Token![,]>::parse_terminated.parse2(group.stream()) {
                        Ok(trees) => trees.iter().for_each(|tree| self.record_tree(&names, tree)),
                        Err(_) => self.record(root.span(), &names),
                    }
                    return at + 3;
                }
                _ => break,
            }
            at += 3;
        }
        if at > 0 {
            self.record(root.span(), &names);
        }
        at
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.record_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.record(path.segments[0].ident.span(), &names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.record_tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.record_tokens(list.tokens.clone());
    }
}

fn is_root(name: &str) -> bool {
    ["crate", "self", "super"].contains(&name)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn described(module: &str) -> String {
    layer(module).map_or_else(|| "no layer".to_owned(), |layer| format!("layer {}", layer + 1))
}

/// Returns the path of the module in `file`, which is relative to `src`.
fn module_of(file: &str) -> Vec<&str> {
    file.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect()
}

/// Returns the number of uses of other modules of the crate in `file`, and a line for each use that points up.
fn check(file: &str, source: &str) -> (usize, Vec<String>) {
    let module = module_of(file);
    let uses = match Collector::collect(&module, source) {
        Ok(uses) => uses,
        Err(error) => return (0, vec![format!("src/{file}:{}: {error}", error.span().start().line)]),
    };
    let own = layer(module[0]);
    let others: Vec<&Use> = uses.iter().filter(|used| used.module() != module[0]).collect();
    let upwards = others
        .iter()
        .filter(|used| own.zip(layer(used.module())).is_none_or(|(own, other)| own > other))
        .map(|used| {
            let (user, used_layer) = (described(module[0]), described(used.module()));
            format!("src/{file}:{}: {} ({user}) uses {used} ({used_layer})", used.line, module[0])
        })
        .collect();
    (others.len(), upwards)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_uses_a_layer_above_its_own() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let (mut found, mut wrong) = (0, Vec::new());
    for file in files {
        let relative = file.strip_prefix(&source).unwrap().display().to_string();
        if ["lib.rs", "main.rs"].contains(&relative.as_str()) {
            continue;
        }
        let (uses, upwards) = check(&relative, &fs::read_to_string(&file).unwrap());
        found += uses;
        wrong.extend(upwards);
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} uses point to no layer at or below their own:\n{}", wrong.len(), wrong.join("\n"));
    assert!(found >= FEWEST_USES, "the check found {found} uses of other modules, fewer than {FEWEST_USES}");
}

/// Returns the uses in `source` as text, as if it were the file `src/lake/log/read.rs`.
fn used(source: &str) -> Vec<String> {
    Collector::collect(&["lake", "log", "read"], source).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn every_form_of_import_is_collected() {
    for (source, expected) in [
        ("use crate::domain::ids::Id;", &["crate::domain::ids::Id"][..]),
        ("use crate::{domain::ids, ops::record};", &["crate::domain::ids", "crate::ops::record"]),
        (
            "use crate::{domain::{ids::{self, Id}, time}, cli};",
            &["crate::domain::ids", "crate::domain::ids::Id", "crate::domain::time", "crate::cli"],
        ),
        ("use {crate::cli, std::fs};", &["crate::cli"]),
        ("use crate::cli as screen;", &["crate::cli"]),
        ("use crate::{cli::{self as screen}};", &["crate::cli"]),
        ("pub(crate) use crate::cli::*;", &["crate::cli::*"]),
        ("use crate::*;", &["crate::*"]),
        ("use crate::{self as root};", &["crate"]),
        ("use self::cells::Cell;", &["crate::lake::log::read::cells::Cell"]),
        ("use super::write;", &["crate::lake::log::write"]),
        ("use super::super::{super::cli, store};", &["crate::cli", "crate::lake::store"]),
        ("use self::super::write;", &["crate::lake::log::write"]),
        ("fn f() { use crate::cli; }", &["crate::cli"]),
        ("use std::fs; use serde_json::json;", &[]),
    ] {
        assert_eq!(used(source), expected, "{source}");
    }
}

#[test]
fn every_path_in_code_is_collected() {
    for (source, expected) in [
        ("fn f() { crate::cli::main(); }", &["crate::cli::main"][..]),
        ("fn f(a: crate::cli::Args) -> Vec<super::Line> { a }", &["crate::cli::Args", "crate::lake::log::Line"]),
        ("fn f() { let super::super::super::cli::A(b) = c; }", &["crate::cli::A"]),
        ("impl crate::cli::Show for Vec<crate::ops::Row> {}", &["crate::cli::Show", "crate::ops::Row"]),
        ("mod tests { fn f() { super::super::write(); } }", &["crate::lake::log::write"]),
        ("mod tests { mod more {} fn f() { self::more::g(); } }", &["crate::lake::log::read::tests::more::g"]),
        ("struct A { #[arg(default_value = crate::ops::AS_OF)] b: C }", &["crate::ops::AS_OF"]),
        ("impl A { pub(crate) fn f(&self) { self.g(); Self::h(); } }", &[]),
        ("// crate::cli::main\nconst A: &str = \"crate::cli::main\";", &[]),
    ] {
        assert_eq!(used(source), expected, "{source}");
    }
}

#[test]
fn every_path_in_a_macro_is_collected() {
    for (source, expected) in [
        ("fn f() { vec![a, crate::cli::main()] }", &["crate::cli::main"][..]),
        ("fn f() { format!(\"{}\", g(&[super::super::super::ops::A])) }", &["crate::ops::A"]),
        ("fn f() { assert_eq!(crate::VERSION, 1) }", &["crate::VERSION"]),
        ("fn f() { crate::cli::show!(1, crate::ops::A) }", &["crate::cli::show", "crate::ops::A"]),
        ("macro_rules! m { ($a:ident) => { impl $crate::cli::Show for $a {} } }", &["crate::cli::Show"]),
        ("m! { use crate::{cli::{a, b as c}, ops}; }", &["crate::cli::a", "crate::cli::b", "crate::ops"]),
        ("m! { use crate::cli::*; a::b::<crate::ops::C>() }", &["crate::cli::*", "crate::ops::C"]),
        ("macro_rules! m { ($a:ident) => { use crate::{$a}; } }", &["crate"]),
        ("m! { pub(crate) struct A; impl B { fn c(self) {} } }", &[]),
    ] {
        assert_eq!(used(source), expected, "{source}");
    }
}

#[test]
fn every_use_that_points_up_is_reported() {
    let source =
        "use crate::{\n  cli,\n  domain::ids,\n  ops::{self, record},\n};\nuse super::super::*;\nuse crate::other;";
    let (uses, wrong) = check("lake/log.rs", source);
    assert_eq!(uses, 6);
    assert_eq!(
        wrong,
        [
            "src/lake/log.rs:2: lake (layer 6) uses crate::cli (layer 1)",
            "src/lake/log.rs:4: lake (layer 6) uses crate::ops (layer 3)",
            "src/lake/log.rs:4: lake (layer 6) uses crate::ops::record (layer 3)",
            "src/lake/log.rs:6: lake (layer 6) uses crate::* (no layer)",
            "src/lake/log.rs:7: lake (layer 6) uses crate::other (no layer)",
        ]
    );
    assert_eq!(
        check("other.rs", "use crate::domain;").1,
        ["src/other.rs:1: other (no layer) uses crate::domain (layer 11)"]
    );
    assert_eq!(check("cli/mod.rs", "use self::args::Args; use super::ops;"), (1, Vec::new()));
    assert_eq!(check("cli.rs", "fn f( {").0, 0);
    assert!(check("cli.rs", "\nfn f( {").1[0].starts_with("src/cli.rs:2: "));
}
