//! Targets: runtimes on processors, with what they make of widths.
//!
//! Kernels are made for blocks of channels. A length between two multiples of a block is padded to the next one, and
//! takes as long; where a layout asks for whole vectors, a length that is none falls back on a slower kernel. A row says
//! so for each kind of work, and where it is from. What is counted by it are *effective* multiply-accumulates
//! ([`super::EffectiveCosts`]): those that the runtime carries out, and not those that are asked for.

use crate::oracle::{Runtime, Setup};
use std::fmt;
use std::str::FromStr;

/// A runtime on a processor.
#[derive(Clone, Copy)]
pub struct Target(&'static Row);

/// What is known of a target.
struct Row {
    name: &'static str,
    about: &'static str,
    /// Where the figures are from.
    source: &'static str,
    convolution: Tiling,
    /// Convolutions whose channels do not meet.
    depthwise: Tiling,
    product: Tiling,
}

/// What a kind of work makes of its lengths.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    /// The blocks of what is summed over, and of what comes out.
    inputs: Block,
    outputs: Block,
    /// Lengths that are no multiple of this take so many times as long.
    aligned: (usize, f64),
    /// What a multiply-accumulate takes beside one of a dense product.
    pub weight: f64,
}

/// Elements that are worked on together.
#[derive(Clone, Copy)]
struct Block {
    elements: usize,
    /// So many bytes at least.
    bytes: usize,
}

/// The kinds of work that differ in what they make of widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A sum over windows and channels.
    Convolution,
    /// A sum over windows, channel by channel.
    Depthwise,
    /// Any other product.
    Product,
}

/// On which side of a product an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It is summed over.
    Input,
    /// It comes out.
    Output,
}

const ONE: Block = blocks(1);

const fn blocks(elements: usize) -> Block {
    Block { elements, bytes: 0 }
}

const fn tiling(inputs: Block, outputs: Block) -> Tiling {
    Tiling { inputs, outputs, aligned: (1, 1.0), weight: 1.0 }
}

/// ONNX Runtime's convolutions over blocks of channels: the layout's transformer leaves alone what has no multiple of four
/// channels. How much slower that is was measured (`benches/widths`).
const fn nchwc(block: usize) -> Tiling {
    Tiling { aligned: (4, 1.35), ..tiling(blocks(block), blocks(block)) }
}

/// The same, channel by channel.
const fn nchwc_depthwise(block: usize) -> Tiling {
    depthwise(Tiling { aligned: (4, 2.4), ..nchwc(block) })
}

/// What an operation takes where every channel is by itself: measured in ONNX Runtime (`benches/widths`), and taken for all.
const fn depthwise(tiling: Tiling) -> Tiling {
    Tiling { weight: 6.0, ..tiling }
}

/// All targets.
static ROWS: [Row; 6] = [
    Row {
        name: "cpu-avx512",
        about: "ONNX Runtime on x86-64 with AVX-512",
        source: "MLAS: channels in blocks of 16 (`MlasNchwcGetBlockSize`), SGEMM packs 16 columns",
        convolution: nchwc(16),
        depthwise: nchwc_depthwise(16),
        product: tiling(ONE, blocks(16)),
    },
    Row {
        name: "cpu-avx2",
        about: "ONNX Runtime on other x86-64",
        source: "MLAS: channels in blocks of 8 (`MlasNchwcGetBlockSize`), SGEMM computes 8 columns at once",
        convolution: nchwc(8),
        depthwise: nchwc_depthwise(8),
        product: tiling(ONE, blocks(8)),
    },
    Row {
        name: "arm64",
        about: "ONNX Runtime on 64-bit Arm",
        source: "MLAS: channels in blocks of 16 (`MLAS_NEON_NCHWC_BLOCK_SIZE`), SGEMM packs 16 columns and ends with 8",
        convolution: nchwc(16),
        depthwise: nchwc_depthwise(16),
        product: tiling(ONE, blocks(8)),
    },
    Row {
        name: "tract",
        about: "tract",
        source: "tract-linalg: its matrix kernels come in 8 rows and multiples of that; what is left is padded",
        convolution: tiling(ONE, blocks(8)),
        depthwise: depthwise(tiling(ONE, ONE)),
        product: tiling(ONE, blocks(8)),
    },
    Row {
        name: "tensorrt",
        about: "TensorRT on GPUs with Tensor Cores",
        source: "NVIDIA's guide to matrix multiplication: multiples of 16 bytes, which are 8 channels in 16 bits and 16 in 8",
        convolution: tiling(HALVES, HALVES),
        depthwise: depthwise(tiling(HALVES, HALVES)),
        product: tiling(HALVES, HALVES),
    },
    Row {
        name: "npu32",
        about: "accelerators that hold channels in groups of 32, such as Qualcomm's Hexagon",
        source: "Qualcomm's guide to HTP: channels are rounded up to a multiple of 32",
        convolution: tiling(blocks(32), blocks(32)),
        depthwise: depthwise(tiling(blocks(32), blocks(32))),
        product: tiling(blocks(32), blocks(32)),
    },
];

/// A model in 32 bits is built for 16.
const HALVES: Block = Block { elements: 8, bytes: 16 };

/// A name that no target has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no target `{0}`; there are {names}", names = names())]
pub struct TargetError(String);

impl Target {
    /// All targets there are.
    pub fn all() -> impl Iterator<Item = Target> {
        ROWS.iter().map(Target)
    }

    /// This machine, with the runtime that runs models here.
    pub fn here(setup: &Setup) -> Target {
        let name = match setup.ran().map(|ran| ran.runtime) {
            Ok(Runtime::Ort) => processor(),
            _ => "tract",
        };
        Target::all().find(|t| t.name() == name).unwrap_or(Target(&ROWS[0]))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// Where its figures are from.
    pub fn source(self) -> &'static str {
        self.0.source
    }

    pub(super) fn tiling(self, work: Work) -> Tiling {
        match work {
            Work::Convolution => self.0.convolution,
            Work::Depthwise => self.0.depthwise,
            Work::Product => self.0.product,
        }
    }
}

impl Tiling {
    /// The length that is worked on, of elements of so many bits.
    pub(super) fn padded(&self, side: Side, length: usize, bits: usize) -> usize {
        let Block { elements, bytes } = if side == Side::Input { self.inputs } else { self.outputs };
        length.next_multiple_of(elements.max(8 * bytes / bits.max(1)).max(1))
    }

    /// How many times as long work takes whose channels are so many.
    pub(super) fn slowed(&self, length: usize) -> f64 {
        if length.is_multiple_of(self.aligned.0) { 1.0 } else { self.aligned.1 }
    }
}

/// The target of ONNX Runtime on this processor.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return "cpu-avx512";
    }
    if cfg!(target_arch = "aarch64") { "arm64" } else { "cpu-avx2" }
}

fn names() -> String {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        Target::all().find(|t| t.name() == text).ok_or_else(|| TargetError(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Target({})", self.name())
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Target {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_print() {
        for target in Target::all() {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        insta::assert_snapshot!(
            "cpu".parse::<Target>().unwrap_err(),
            @"there is no target `cpu`; there are cpu-avx512, cpu-avx2, arm64, tract, tensorrt, npu32"
        );
    }

    #[test]
    fn blocks_depend_on_the_element_type() {
        let tiling = |name: &str| name.parse::<Target>().unwrap().tiling(Work::Convolution);
        assert_eq!([8, 16, 32].map(|bits| tiling("tensorrt").padded(Side::Output, 20, bits)), [32, 24, 24]);
        assert_eq!([8, 16, 32].map(|bits| tiling("cpu-avx512").padded(Side::Output, 20, bits)), [32, 32, 32]);
        assert_eq!(tiling("tract").padded(Side::Input, 20, 32), 20);
    }

    #[test]
    fn tract_is_the_target_of_a_setup_that_has_it_alone() {
        assert_eq!(Target::here(&Setup::of(Runtime::Tract)).name(), "tract");
    }
}
