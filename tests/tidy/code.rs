//! The crate's code as syn reads it: its files in the tree of modules, and what each names. Tests are left out exactly:
//! an item, a statement or a file that needs `cfg(test)` is not read, what comes after it is.

use proc_macro2::{TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta};

/// A file of the crate that is compiled without `cfg(test)`.
pub(crate) struct File {
    /// From the crate's root, with `/`.
    pub path: String,
    /// The module that it is, from the crate on.
    pub module: Vec<String>,
    /// Paths, but for those of one segment: they name what is in scope, and what came there through a longer one.
    pub paths: Vec<Named>,
    pub literals: Vec<Named>,
    /// What the file itself re-exports: the new name, and the path that it stands for.
    pub exports: Vec<(String, Vec<String>)>,
    pub text: String,
}

/// Something that code names, with its line.
#[derive(Clone)]
pub(crate) struct Named {
    pub line: usize,
    /// The segments of a path from its crate (`crate` for this one), or one literal.
    pub segments: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that `lib.rs` and `main.rs` lead to.
pub(crate) fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let mut files = vec![];
        for start in ["src/lib.rs", "src/main.rs"] {
            read(&root().join(start), &root().join("src"), &["crate".into()], &mut files);
        }
        files
    });
    &FILES
}

/// Reads a file whose child modules lie in `folder`, and those after it.
fn read(file: &Path, folder: &Path, module: &[String], files: &mut Vec<File>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    if parsed.attrs.iter().any(is_test) {
        return;
    }
    let path = file
        .strip_prefix(root())
        .unwrap_or(file)
        .to_string_lossy()
        .replace('\\', "/")
        .replace("src/model/../../", "")
        .replace("src/compress/../../", "");
    files.push(named(path, module, &parsed, text));
    for item in &parsed.items {
        let Item::Mod(child) = item else { continue };
        if child.content.is_none() && !child.attrs.iter().any(is_test) {
            let name = child.ident.to_string();
            let (file, folder) = child_file(file, folder, &name, &child.attrs);
            read(&file, &folder, &[module, &[name]].concat(), files);
        }
    }
}

/// What a file names.
fn named(path: String, module: &[String], parsed: &syn::File, text: String) -> File {
    let (paths, literals, exports) = Default::default();
    let file = File { path, module: module.to_vec(), paths, literals, exports, text };
    let mut reader = Reader { module: module.to_vec(), file };
    reader.visit_file(parsed);
    reader.file
}

/// Where a module's file is, and where those of its children are.
fn child_file(file: &Path, folder: &Path, name: &str, attrs: &[Attribute]) -> (PathBuf, PathBuf) {
    let given = attrs.iter().find_map(|a| match &a.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => literal(&pair.value),
        _ => None,
    });
    let beside = folder.join(format!("{name}.rs"));
    let path = match given {
        Some(given) => file.parent().unwrap_or(folder).join(given),
        None if beside.exists() => beside,
        None => folder.join(name).join("mod.rs"),
    };
    let folder = match path.ends_with("mod.rs") {
        true => path.parent().unwrap_or(folder).to_path_buf(),
        false => folder.join(name),
    };
    (path, folder)
}

fn literal(e: &syn::Expr) -> Option<String> {
    match e {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(s), .. }) => Some(s.value()),
        _ => None,
    }
}

/// Whether an attribute lets code exist in tests alone.
fn is_test(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg") && attr.parse_args::<Meta>().is_ok_and(|m| without_tests(&m) == Some(false))
}

/// What a condition comes to where `test` is not set; features may be there or not.
fn without_tests(meta: &Meta) -> Option<bool> {
    let parts = |list: &syn::MetaList| {
        let parts = list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
        parts.map_or(vec![], |parts| parts.iter().map(without_tests).collect())
    };
    match meta {
        Meta::Path(path) if path.is_ident("test") => Some(false),
        Meta::List(list) if list.path.is_ident("not") => parts(list).first().copied().flatten().map(|b| !b),
        Meta::List(list) if list.path.is_ident("all") => match parts(list) {
            parts if parts.contains(&Some(false)) => Some(false),
            parts => parts.into_iter().collect::<Option<Vec<bool>>>().map(|_| true),
        },
        Meta::List(list) if list.path.is_ident("any") => match parts(list) {
            parts if parts.contains(&Some(true)) => Some(true),
            parts => parts.into_iter().collect::<Option<Vec<bool>>>().map(|_| false),
        },
        _ => None,
    }
}

struct Reader {
    /// Where the reader is: `crate`, then modules.
    module: Vec<String>,
    file: File,
}

impl Reader {
    /// Notes a path as it is written, from its crate on.
    fn path(&mut self, segments: Vec<String>, line: usize) {
        let up = segments.iter().take_while(|s| *s == "super").count();
        let rest = |from: usize| segments[from..].iter().cloned();
        let segments: Vec<String> = match segments.first().map(String::as_str) {
            Some("self") => self.module.iter().cloned().chain(rest(1)).collect(),
            Some("super") => {
                let stays = self.module.len().saturating_sub(up).max(1);
                self.module[..stays].iter().cloned().chain(rest(up)).collect()
            }
            _ => segments,
        };
        self.file.paths.push(Named { line, segments });
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &[String], exports: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (line, path, name) = (tree.span().start().line, before.to_vec(), None);
        let (path, name) = match tree {
            syn::UseTree::Path(p) => return self.tree(&p.tree, &with(&p.ident), exports),
            syn::UseTree::Group(g) => return g.items.iter().for_each(|t| self.tree(t, before, exports)),
            syn::UseTree::Name(n) => (with(&n.ident), Some(&n.ident)),
            syn::UseTree::Rename(r) => (with(&r.ident), Some(&r.rename)),
            syn::UseTree::Glob(_) => (path, name),
        };
        self.file.exports.extend(name.filter(|_| exports).map(|name| (name.to_string(), path.clone())));
        self.path(path, line);
    }

    /// Paths and literals of what syn does not parse: the arguments of macros and attributes.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colons = |at: usize| {
            let colon = |t: Option<&TokenTree>| matches!(t, Some(TokenTree::Punct(p)) if p.as_char() == ':');
            colon(tokens.get(at)) && colon(tokens.get(at + 1))
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(g) => self.tokens(g.stream()),
                TokenTree::Literal(l) => {
                    if let Ok(s) = syn::parse_str::<syn::LitStr>(&l.to_string()) {
                        self.visit_lit_str(&syn::LitStr::new(&s.value(), l.span()));
                    }
                }
                TokenTree::Ident(first) => {
                    let mut segments = vec![first.to_string()];
                    while let (true, Some(TokenTree::Ident(next))) = (colons(at), tokens.get(at + 2)) {
                        segments.push(next.to_string());
                        at += 3;
                    }
                    if segments.len() > 1 {
                        self.path(segments, first.span().start().line);
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !field.attrs.iter().any(is_test) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !local.attrs.iter().any(is_test) {
            visit::visit_local(self, local);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[], matches!(item.vis, syn::Visibility::Public(_)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
            self.path(segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        visit::visit_macro(self, mac);
        self.tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attr: &'ast Attribute) {
        if let (false, Meta::List(list)) = (attr.path().is_ident("doc"), &attr.meta) {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_lit_str(&mut self, s: &'ast syn::LitStr) {
        self.file.literals.push(Named { line: s.span().start().line, segments: vec![s.value()] });
    }
}

/// The attributes of an item, of whatever kind.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

#[test]
fn tests_alone_are_left_out() {
    let text = "
        #[cfg(test)]
        mod tests { use crate::a::X; }
        use super::b::{self, Y as Z};
        #[cfg(all(test, feature = \"f\"))]
        use crate::a::X;
        fn f() { crate::c::g(vec![crate::d::h(\"Conv\")]); }
        #[cfg(any(test, feature = \"f\"))]
        pub use self::e::E;
    ";
    let parsed = syn::parse_file(text).expect("it is Rust");
    let file = named(String::new(), &["crate".into(), "m".into(), "n".into()], &parsed, String::new());
    let paths: Vec<String> = file.paths.iter().map(|n| format!("{} {}", n.line, n.segments.join("::"))).collect();
    let expected = ["4 crate::m::b::self", "4 crate::m::b::Y", "7 crate::c::g", "7 crate::d::h", "9 crate::m::n::e::E"];
    assert_eq!(paths, expected);
    assert_eq!(file.literals[0].segments, ["Conv"]);
    assert_eq!(file.exports[0].0, "E");
}
