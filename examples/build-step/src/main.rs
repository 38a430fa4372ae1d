//! A service that names handwritten digits: each line that it is sent has the 64 numbers of an image of 8×8 pixels, from
//! 0 to 1; each line that it answers has the digit.
//!
//!     cargo run -- 127.0.0.1:4000 &
//!     printf '0 0.5 …\n' | nc 127.0.0.1 4000

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use tract_onnx::prelude::*;

/// The model that `build.rs` pruned.
const MODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/digits.onnx"));

type Digits = Arc<TypedRunnableModel>;

fn main() -> TractResult<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4000".to_owned());
    let digits = load()?;
    for stream in TcpListener::bind(&address)?.incoming() {
        let digits = digits.clone();
        std::thread::spawn(move || serve(&digits, stream?));
    }
    Ok(())
}

fn load() -> TractResult<Digits> {
    let model = tract_onnx::onnx().model_for_read(&mut &*MODEL)?;
    model.with_input_fact(0, f32::fact([1, 1, 8, 8]).into())?.into_optimized()?.into_runnable()
}

/// Answers line by line, until the other side hangs up.
fn serve(digits: &Digits, stream: TcpStream) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        match classify(digits, &line?) {
            Ok(digit) => writeln!(out, "{digit}")?,
            Err(e) => writeln!(out, "error: {e}")?,
        }
    }
    Ok(())
}

/// The digit in an image, given as 64 numbers.
fn classify(digits: &Digits, line: &str) -> TractResult<usize> {
    let pixels = line.split_whitespace().map(str::parse).collect::<Result<Vec<f32>, _>>()?;
    let image = Tensor::from_shape(&[1, 1, 8, 8], &pixels)?;
    let logits = digits.run(tvec!(image.into()))?;
    let scores = logits[0].to_plain_array_view::<f32>()?;
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(best.map_or(0, |(digit, _)| digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of `fixtures/digits_test.npz`.
    const ONE: &str = "0 0 0 .875 .562 0 0 0 0 0 0 .875 .812 0 0 0 0 0 0 .688 1 .125 0 0 0 0 0 .875 1 .312 0 0 \
                       0 0 0 .812 1 .25 0 0 0 0 0 1 1 .25 0 0 0 0 .062 1 1 0 0 0 0 0 0 .875 .75 0 0 0";

    #[test]
    fn a_one_is_a_one_and_a_short_line_an_error() {
        let digits = load().unwrap();
        assert_eq!(classify(&digits, ONE).unwrap(), 1);
        assert!(classify(&digits, "0 1").is_err());
    }
}
