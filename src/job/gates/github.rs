//! Annotations of GitHub Actions: lines of a log that are shown beside a file.

/// The workflow command for something that is wrong with a file.
pub fn annotation(file: &str, what: &str, says: &str) -> String {
    let title = property(&format!("secateur: {what}"));
    format!("::error file={},title={title}::{}", property(file), message(says))
}

/// A command ends with its line.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Colons and commas set properties apart.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        let line = annotation("a,b:c.onnx", "max_size", "max_size is 40 %\nand more");
        assert_eq!(line, "::error file=a%2Cb%3Ac.onnx,title=secateur%3A max_size::max_size is 40 %25%0Aand more");
    }
}
