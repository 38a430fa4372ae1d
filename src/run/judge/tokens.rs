//! Language models: how likely the tokens that follow are.

use super::{Figure, IGNORED, JudgeError, integers, largest, number, place, ratio, share};
use crate::ir::Tensor;
use serde::Serialize;

/// Gathers scores of next tokens. A row of scores with NaN or +∞ in it is wrong, and its cross entropy infinite.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    samples: u64,
    tokens: u64,
    right: u64,
    entropy: f64,
}

/// What was found of a language model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokensReport {
    pub samples: u64,
    /// How many tokens were judged.
    pub tokens: u64,
    /// The mean cross entropy of a token, in nats, and e to that power.
    pub cross_entropy: f64,
    pub perplexity: f64,
    /// The share of tokens that have the largest score.
    pub accuracy: f64,
}

impl Tokens {
    /// Adds scores (sample, position, token), and the token that follows at each position.
    pub fn add(&mut self, scores: &Tensor, next: &Tensor) -> Result<(), JudgeError> {
        let (samples, positions, vocabulary) = match scores.shape[..] {
            [samples, positions, vocabulary] if vocabulary > 0 => (samples, positions, vocabulary),
            _ => return Err(JudgeError::NotTokens(scores.shape.clone())),
        };
        if next.shape != [samples, positions] {
            return Err(JudgeError::Labels { labels: next.shape.clone(), output: scores.shape.clone() });
        }
        let (numbers, next) = (scores.to_f64()?, integers(next)?);
        for (row, token) in numbers.chunks_exact(vocabulary).zip(next) {
            if let Some(token) = place(token, vocabulary)? {
                self.tokens += 1;
                self.right += u64::from(largest(row) == Some(token));
                self.entropy -= log_softmax(row, token);
            }
        }
        self.samples += samples as u64;
        Ok(())
    }

    /// The figures so far.
    pub fn finish(&self) -> TokensReport {
        let cross_entropy = ratio(self.entropy, self.tokens as f64);
        TokensReport {
            samples: self.samples,
            tokens: self.tokens,
            cross_entropy,
            perplexity: if self.tokens == 0 { 0.0 } else { cross_entropy.exp() },
            accuracy: ratio(self.right as f64, self.tokens as f64),
        }
    }
}

impl TokensReport {
    pub(super) fn figures(&self) -> Vec<Figure> {
        let (perplexity, entropy) =
            (number("perplexity", self.perplexity), number("cross_entropy", self.cross_entropy));
        vec![perplexity, entropy, share("accuracy", self.accuracy)]
    }
}

/// The logarithm of one token's softmax. Scores are taken relative to the largest, so that no power overflows.
fn log_softmax(scores: &[f64], at: usize) -> f64 {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() || scores.iter().any(|s| s.is_nan()) {
        return f64::NEG_INFINITY;
    }
    scores[at] - most - scores.iter().map(|s| (s - most).exp()).sum::<f64>().ln()
}

/// The tokens that follow: those of a text, one position on. The last position has none, and tokens that the mask sets
/// to 0 don't count.
pub fn next_tokens(tokens: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, JudgeError> {
    let [samples, positions] = tokens.shape[..] else {
        return Err(JudgeError::Labels { labels: tokens.shape.clone(), output: vec![] });
    };
    let ids = integers(tokens)?;
    let mask = mask.filter(|m| m.shape == tokens.shape).map(Tensor::to_f64).transpose()?;
    let next = |i: usize| match i % positions + 1 < positions {
        true if mask.as_ref().is_none_or(|m| m[i + 1] != 0.0) => ids[i + 1],
        _ => IGNORED,
    };
    Ok(Tensor::from_i64(vec![samples, positions], &(0..ids.len()).map(next).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;

    fn judged(shape: [usize; 3], scores: &[f64], next: &[i64]) -> Result<TokensReport, JudgeError> {
        let mut judge = Tokens::default();
        let scores = Tensor::from_f64(DType::F64, shape.to_vec(), scores).unwrap();
        judge.add(&scores, &Tensor::from_i64(shape[..2].to_vec(), next))?;
        Ok(judge.finish())
    }

    #[test]
    fn equal_scores_are_as_many_choices() {
        let report = judged([1, 2, 4], &[7.0; 8], &[0, 3]).unwrap();
        assert!((report.perplexity - 4.0).abs() < 1e-12 && (report.cross_entropy - 4f64.ln()).abs() < 1e-12);
        assert_eq!((report.tokens, report.accuracy), (2, 0.5));
    }

    #[test]
    fn large_scores_do_not_overflow() {
        // softmax(1000, 999) = (1, 1/e) / (1 + 1/e)
        let report = judged([1, 1, 2], &[1000.0, 999.0], &[1]).unwrap();
        assert!((report.cross_entropy - (1.0 + (1.0 + (-1f64).exp()).ln())).abs() < 1e-12);
        let never = judged([1, 1, 2], &[0.0, f64::NEG_INFINITY], &[0]).unwrap();
        assert_eq!((never.cross_entropy, never.accuracy), (0.0, 1.0));
    }

    #[test]
    fn what_is_not_a_number_is_wrong_and_what_is_ignored_does_not_count() {
        let nan = judged([1, 1, 2], &[f64::NAN, 1.0], &[1]).unwrap();
        assert_eq!((nan.accuracy, nan.perplexity), (0.0, f64::INFINITY));
        let none = judged([1, 1, 2], &[0.0, 1.0], &[IGNORED]).unwrap();
        assert_eq!((none.tokens, none.perplexity, none.accuracy), (0, 0.0, 0.0));
        assert_eq!(judged([1, 1, 2], &[0.0, 1.0], &[2]), Err(JudgeError::Range { label: 2, classes: 2 }));
    }

    #[test]
    fn shapes_must_agree() {
        let mut judge = Tokens::default();
        let (flat, ids) = (Tensor::from_f32(vec![1, 2], &[0.0; 2]), Tensor::from_i64(vec![1, 1], &[0]));
        assert!(matches!(judge.add(&flat, &ids), Err(JudgeError::NotTokens(_))));
        let scores = Tensor::from_f32(vec![1, 2, 2], &[0.0; 4]);
        assert!(matches!(judge.add(&scores, &ids), Err(JudgeError::Labels { .. })));
    }

    #[test]
    fn tokens_follow_one_position_on() {
        let ids = Tensor::from_i64(vec![2, 3], &[1, 2, 3, 4, 5, 6]);
        let mask = Tensor::from_i64(vec![2, 3], &[1, 1, 1, 1, 1, 0]);
        let next = |mask| next_tokens(&ids, mask).unwrap().to_i64().unwrap();
        assert_eq!(next(None), [2, 3, IGNORED, 5, 6, IGNORED]);
        assert_eq!(next(Some(&mask)), [2, 3, IGNORED, 5, IGNORED, IGNORED]);
        assert!(next_tokens(&Tensor::from_i64(vec![1], &[0]), None).is_err());
    }
}
