//! The notation of axis rules: `n (g i) _*, (g o) i _*, (g o) -> n (g o) _*`.
//!
//! | text | meaning |
//! |---|---|
//! | `c` | a label; the same label is the same set of units. In operands only it is a contraction |
//! | `c!` | a label whose removal changes what survives (softmax over it, a mean over it) |
//! | `~c` | a label that no result reads: dropping its units changes nothing (what a Slice leaves out) |
//! | `1` | an axis of length one, or one that a broadcast stretches |
//! | `4` | a fixed factor |
//! | `_` | a pinned axis; `_*` all axes that are left, pinned |
//! | `...` | all axes that are left, passed through, aligned from the right |
//! | `(a b)` | a product, major factor first |
//! | `a+b` | a sum: one after the other |
//! | `@c` | after a tensor's axes: its elements are indices of the label's units |
//!
//! An axis of length 1 never couples: a rule that names a label there means a broadcast.

use std::fmt;

/// An axis as a rule writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// `1`
    Broadcast,
    /// `4`
    Fixed(usize),
    /// `_`
    Pinned,
    /// `c`
    Label(Label),
    /// `(a b)`
    Product(Vec<Expr>),
    /// `a+b`
    Sum(Vec<Expr>),
}

/// A label with its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    /// `c!`
    pub inexact: bool,
    /// `~c`
    pub unread: bool,
}

/// An item of a tensor's list of axes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Axis(Expr),
    RestPinned,
    RestThrough,
}

/// A parsed rule: the axes of each operand and result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleText {
    pub operands: Vec<AxesText>,
    pub results: Vec<AxesText>,
}

/// The axes of one operand or result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxesText {
    items: Vec<Item>,
    /// The label of which the elements are indices.
    pub indices_of: Option<String>,
}

/// A rule that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("axis rule `{text}`: {what}")]
pub(crate) struct RuleError {
    pub text: String,
    pub what: String,
}

impl RuleText {
    /// Reads a rule: the operands' axes, `->`, the results' axes.
    pub(crate) fn parse(text: &str) -> Result<RuleText, RuleError> {
        let fail = |what: String| RuleError { text: text.to_owned(), what };
        let (left, right) = text.split_once("->").ok_or_else(|| fail("it has no `->`".into()))?;
        let side = |s: &str| s.split(',').map(|t| Parser::new(t).axes()).collect::<Result<Vec<_>, _>>();
        Ok(RuleText { operands: side(left).map_err(fail)?, results: side(right).map_err(fail)? })
    }
}

impl AxesText {
    /// Whether it is `_*` alone, which says nothing of a tensor's axes and fits any.
    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self.items[..], [Item::RestPinned])
    }

    /// The expression of each axis of a tensor of this rank, or `None` where the rule asks for another rank.
    /// AxesText that `...` stands for get the labels `.0`, `.1` and so on, counted from the right.
    pub(crate) fn for_rank(&self, rank: usize) -> Option<Vec<Expr>> {
        let explicit = self.items.iter().filter(|i| matches!(i, Item::Axis(_))).count();
        let rest = rank.checked_sub(explicit)?;
        let mut open = false;
        let mut out = Vec::with_capacity(rank);
        for item in &self.items {
            match item {
                Item::Axis(e) => out.push(e.clone()),
                Item::RestPinned => out.extend((0..rest).map(|_| Expr::Pinned)),
                Item::RestThrough => out.extend((0..rest).rev().map(|k| Expr::label(&format!(".{k}")))),
            }
            open |= !matches!(item, Item::Axis(_));
        }
        (open || rest == 0).then_some(out)
    }
}

impl Expr {
    /// A label without marks.
    pub(crate) fn label(name: &str) -> Expr {
        Expr::Label(Label { name: name.to_owned(), inexact: false, unread: false })
    }

    /// Every label of the expression.
    pub(crate) fn labels(&self) -> Vec<&Label> {
        match self {
            Expr::Label(l) => vec![l],
            Expr::Product(p) | Expr::Sum(p) => p.iter().flat_map(Expr::labels).collect(),
            _ => vec![],
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let join = |parts: &[Expr], by: &str| parts.iter().map(Expr::to_string).collect::<Vec<_>>().join(by);
        match self {
            Expr::Broadcast => f.write_str("1"),
            Expr::Fixed(n) => write!(f, "{n}"),
            Expr::Pinned => f.write_str("_"),
            Expr::Label(l) => {
                write!(f, "{}{}{}", if l.unread { "~" } else { "" }, l.name, if l.inexact { "!" } else { "" })
            }
            Expr::Product(p) => write!(f, "({})", join(p, " ")),
            Expr::Sum(p) => f.write_str(&join(p, "+")),
        }
    }
}

/// A recursive-descent parser of one tensor's axes.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser { rest: text.trim() }
    }

    fn axes(mut self) -> Result<AxesText, String> {
        let mut items = vec![];
        let mut indices_of = None;
        while !self.rest.is_empty() {
            if self.eat("@") {
                indices_of = Some(std::mem::take(&mut self.rest).to_owned());
                break;
            }
            items.push(if self.eat("...") {
                Item::RestThrough
            } else if self.eat("_*") {
                Item::RestPinned
            } else {
                Item::Axis(self.sum()?)
            });
            self.rest = self.rest.trim_start();
        }
        match items.iter().filter(|i| !matches!(i, Item::Axis(_))).count() {
            0 | 1 => Ok(AxesText { items, indices_of }),
            _ => Err("more than one `...` or `_*` in a tensor".into()),
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest;
        true
    }

    fn sum(&mut self) -> Result<Expr, String> {
        let mut terms = vec![self.atom()?];
        while self.eat("+") {
            terms.push(self.atom()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Expr::Sum(terms) })
    }

    fn atom(&mut self) -> Result<Expr, String> {
        if self.eat("(") {
            let mut factors = vec![];
            while !self.eat(")") {
                if self.rest.is_empty() {
                    return Err("a `(` without its `)`".into());
                }
                factors.push(self.sum()?);
                self.rest = self.rest.trim_start();
            }
            return Ok(if factors.len() == 1 { factors.remove(0) } else { Expr::Product(factors) });
        }
        let unread = self.eat("~");
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let inexact = self.eat("!");
        match word {
            "" => Err(format!("an axis was expected before `{}`", self.rest)),
            "1" => Ok(Expr::Broadcast),
            "_" => Ok(Expr::Pinned),
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                number.parse().map(Expr::Fixed).map_err(|_| format!("`{number}` is neither a number nor a label"))
            }
            name => Ok(Expr::Label(Label { name: name.to_owned(), inexact, unread })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let rule = RuleText::parse("n (g i) _*, (g 4 c!), a+~b ... -> n a+(g o) 1").unwrap();
        let show =
            |a: &AxesText, rank| a.for_rank(rank).map(|e| e.iter().map(Expr::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(show(&rule.operands[0], 4).as_deref(), Some("n (g i) _ _"));
        assert_eq!(show(&rule.operands[1], 1).as_deref(), Some("(g 4 c!)"));
        assert_eq!(show(&rule.operands[2], 3).as_deref(), Some("a+~b .1 .0"));
        assert_eq!(show(&rule.results[0], 3).as_deref(), Some("n a+(g o) 1"));
        assert_eq!(show(&rule.results[0], 4), None);
        let looked_up = RuleText::parse("~e d, n @e -> n d").unwrap();
        assert_eq!(looked_up.operands[1].indices_of.as_deref(), Some("e"));
        assert_eq!(show(&looked_up.operands[1], 1).as_deref(), Some("n"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(RuleText::parse("a b").is_err());
        assert!(RuleText::parse("(a b -> a").is_err());
        assert!(RuleText::parse("a++b -> a").is_err());
        assert!(RuleText::parse("... _* -> a").is_err());
    }
}
