//! The fenced blocks of a document, with the mark before them.

/// A block between fences.
#[derive(Debug)]
pub(crate) struct Block {
    /// The line of the opening fence, from 0.
    pub line: usize,
    pub language: String,
    /// The comment right before it, without its brackets: `slow: it trains`.
    pub mark: String,
    pub lines: Vec<String>,
}

/// All blocks of a document. An indented one has the language `indented`.
pub(crate) fn of(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks: Vec<Block> = vec![];
    let mut open = false;
    for (i, line) in lines.iter().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                let before = i.checked_sub(1).map_or("", |i| lines[i]);
                let mark = before.strip_prefix("<!-- ").and_then(|m| m.strip_suffix(" -->")).unwrap_or_default();
                blocks.push(Block { line: i, language: language.into(), mark: mark.into(), lines: vec![] });
                open = true;
            }
            None if open => blocks.last_mut().unwrap().lines.push((*line).to_owned()),
            None if line.starts_with("    $ ") => {
                blocks.push(Block { line: i, language: "indented".into(), mark: String::new(), lines: vec![] });
            }
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    blocks
}

impl Block {
    /// Why the block is not run, if it says so.
    fn is_excused(&self) -> bool {
        self.mark.strip_prefix("not run: ").is_some_and(|why| !why.is_empty())
    }

    /// Whether its commands are run, by the slow test or by the other.
    pub(crate) fn is_run(&self, slow: bool) -> bool {
        self.language == "console" && !self.is_excused() && self.mark.starts_with("slow: ") == slow
    }

    /// What keeps a test from telling what this block is, with its line from 1.
    pub(crate) fn unclear(&self) -> Option<(usize, String)> {
        let commands = self.lines.iter().any(|l| l.starts_with("$ "));
        let why = match &self.language[..] {
            "console" if !commands => "a console block without a command",
            "console" | "toml" | "json" | "text" | "rust,no_run" | "rust,ignore" => return None,
            "sh" if self.is_excused() => return None,
            "sh" => "commands that are not run need `<!-- not run: why -->` before them; others are `console`",
            "indented" => "a console block must be fenced, else it is not run",
            other => return Some((self.line + 1, format!("what is a block of `{other}`?"))),
        };
        Some((self.line + 1, why.to_owned()))
    }
}
