//! Odd models: valid calls with a few things changed. Nothing may panic, and an axis rule must fit whatever
//! inference let pass.

use super::Case;
use crate::ir::Signature;
use crate::ir::{Model, Node};
use crate::lowering::lower;
use crate::ops::known;
use crate::program::{Builder, Statistics};

/// Calls for operators that have none below.
const PLAIN: [&str; 3] = ["=2 8 5 5", "=2 8 5 5, =8 1 1", "=2 8 5 5, =i64[0 1], =2 8 5 5"];

/// Valid calls: operator, attributes and operands.
const CALLS: &[(&str, &str, &str)] = &[
    ("Attention", "", "=2 8 5 16, =2 4 6 16, =2 4 6 32, =1 8 5 6, =2 4 3 16, =2 4 3 32"),
    ("Attention", "q_num_heads=8 kv_num_heads=4", "=2 5 128, =2 6 64, =2 6 128, =1 8 5 6"),
    ("AveragePool", "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] ceil_mode=1", "=2 8 9 9"),
    ("BatchNormalization", "", "=2 8 5 5, =8, =8, =8, =8"),
    ("Conv", "group=2 strides=[2,2] pads=[1,1,1,1] kernel_shape=[3,3]", "=2 8 9 9, =16 4 3 3, =16"),
    ("ConvInteger", "group=2", "u8:=2 8 9 9, i8:=16 4 3 3, u8:=, i8:=16"),
    ("ConvTranspose", "group=2 strides=[2,2] output_padding=[1,1]", "=2 8 9 9, =8 8 3 3, =16"),
    ("DeformConv", "group=2 offset_group=1", "=2 8 9 9, =16 4 3 3, =2 18 7 7, =16, =2 9 7 7"),
    ("DequantizeLinear", "axis=0", "i8:=16 8, =16, i8:=16"),
    ("DequantizeLinear", "block_size=4", "i8:=16 8, =16 2"),
    ("DynamicQuantizeLinear", "", "=16 8"),
    ("Einsum", "equation=bhid,bhjd->bhij", "=2 3 4 8, =2 3 5 8"),
    ("Einsum", "equation=...k,kn", "=2 3 8, =8 16"),
    ("GRU", "hidden_size=8", "=5 2 10, =1 24 10, =1 24 8, =1 48, i32:=2, =1 2 8"),
    ("Gemm", "transB=1", "=4 8, =16 8, =16"),
    ("GlobalAveragePool", "", "=2 8 9 9"),
    ("GlobalLpPool", "", "=2 8 9 9"),
    ("GlobalMaxPool", "", "=2 8 9 9"),
    ("GridSample", "", "=2 8 5 5, =2 7 9 2"),
    ("GroupNormalization", "num_groups=4", "=2 8 5 5, =8, =8"),
    ("GroupNormalization", "num_groups=4", "=2 8 5 5, =4, =4"),
    ("Hardmax", "axis=1", "=2 3 4"),
    ("InstanceNormalization", "", "=2 8 5 5, =8, =8"),
    ("LRN", "size=5", "=2 8 5 5"),
    (
        "LSTM",
        "hidden_size=8 direction=bidirectional",
        "=5 2 10, =2 32 10, =2 32 8, =2 64, i32:=2, =2 2 8, =2 2 8, =2 24",
    ),
    ("LSTM", "hidden_size=8 layout=1", "=2 5 10, =1 32 10, =1 32 8, =1 64, i32:=2, =2 1 8, =2 1 8, =1 24"),
    ("LayerNormalization", "axis=1", "=2 3 8, =3 8, =8"),
    ("LogSoftmax", "axis=1", "=2 3 4"),
    ("LpNormalization", "axis=1", "=2 8"),
    ("LpPool", "kernel_shape=[3,3] auto_pad=SAME_UPPER", "=2 8 9 9"),
    ("MatMul", "", "=2 3 4 8, =1 3 8 16"),
    ("MatMul", "", "=4 8, =8"),
    ("MatMulInteger", "", "u8:=2 4 8, i8:=2 8 16, u8:=2 4 1, i8:=2 1 16"),
    ("MatMulInteger", "", "u8:=4 8, i8:=8 16, u8:=4, i8:=16"),
    ("MaxPool", "kernel_shape=[3,3] dilations=[2,2]", "=2 8 9 9"),
    ("MaxRoiPool", "pooled_shape=[7,7]", "=2 8 9 9, =20 5"),
    ("MeanVarianceNormalization", "axes=[0,2,3]", "=2 8 5 5"),
    ("QLinearConv", "group=2", "u8:=2 8 9 9, =, u8:=, i8:=16 4 3 3, =16, i8:=16, =, u8:=, i32:=16"),
    ("QLinearMatMul", "", "u8:=4 8, =4, u8:=4, i8:=8 16, =16, i8:=16, =, u8:="),
    ("QuantizeLinear", "axis=0", "=16 8, =16, i8:=16"),
    ("RMSNormalization", "axis=1", "=2 3 8, =3 8"),
    ("RNN", "hidden_size=8", "=5 2 10, =1 8 10, =1 8 8, =1 16, i32:=2, =1 2 8"),
    ("Resize", "", "=2 8 5 5, , =[1 1 2 2]"),
    ("Resize", "axes=[2,3] keep_aspect_ratio_policy=not_larger", "=2 8 5 5, , , =i64[10 12]"),
    ("RoiAlign", "output_height=7 output_width=7", "=2 8 9 9, =20 4, i64:=20"),
    ("RotaryEmbedding", "num_heads=4", "=2 5 64, =2 5 8, =2 5 8, i64:=2 5"),
    ("SimplifiedLayerNormalization", "axis=-1", "=2 3 8, =8"),
    ("Softmax", "axis=1", "=2 3 4"),
    ("Upsample", "scales=[1.0,1.0,2.0,2.0]", "=2 8 5 5"),
    ("Upsample", "", "=2 8 5 5, =[1 1 2 2]"),
    ("com.microsoft.Attention", "num_heads=4", "=2 5 10, =10 96, =96, i32:=2, =2 2 4 3 8, =1 4 5 8"),
    ("com.microsoft.Attention", "num_heads=4 qkv_hidden_sizes=[32,32,64]", "=2 5 10, =10 128, =128"),
    ("com.microsoft.DequantizeLinear", "axis=0", "i8:=16 8, =16, i8:=16"),
    ("com.microsoft.EmbedLayerNormalization", "", "i32:2 3, i32:2 3, =100 8, =16 8, =2 8, =8, =8, i32:2 3"),
    ("com.microsoft.FusedConv", "activation=Relu", "=2 8 9 9, =16 8 3 3, =16, =2 16 7 7"),
    ("com.microsoft.FusedGemm", "activation=Relu", "=4 8, =8 16, =16"),
    ("com.microsoft.FusedMatMul", "transA=1 transB=1", "=2 8 4, =2 16 8"),
    (
        "com.microsoft.GroupQueryAttention",
        "num_heads=8 kv_num_heads=2",
        "=2 5 128, =2 5 32, =2 5 32, =2 2 3 16, =2 2 3 16, i32:=2, i32:=, , , , =1 8 5 8, =8",
    ),
    ("com.microsoft.GroupQueryAttention", "num_heads=8 kv_num_heads=2", "=2 5 192"),
    ("com.microsoft.MatMulIntegerToFloat", "", "u8:=4 8, i8:=8 16, =, =16, u8:=, i8:=16, =16"),
    ("com.microsoft.MatMulNBits", "N=16 K=64 bits=4 block_size=32", "2 3 64, u8:=16 2 16, =32, u8:=16, , =16"),
    (
        "com.microsoft.MultiHeadAttention",
        "num_heads=4",
        "=2 5 32, =2 6 32, =2 6 64, =128, , =1 4 5 6, =2 4 3 8, =2 4 3 16",
    ),
    ("com.microsoft.QuantizeLinear", "axis=0", "=16 8, =16, i8:=16"),
    ("com.microsoft.RotaryEmbedding", "", "=2 5 64, i64:=2 5, =9 8, =9 8"),
    ("com.microsoft.SimplifiedLayerNormalization", "", "=2 3 8, =8"),
    ("com.microsoft.SkipLayerNormalization", "", "=2 3 8, =1 3 8, =8, =8, =8"),
    ("com.microsoft.SkipSimplifiedLayerNormalization", "", "=2 3 8, =2 3 8, =8, =8"),
    ("com.microsoft.TransposeMatMul", "transB=1", "=2 4 8, =2 16 8"),
];

/// A stream of numbers that looks random and is always the same.
struct Stream(u64);

impl Stream {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// An operand with a dimension changed, added or left out; or its kind changed, or itself left out.
    fn change_operand(&mut self, operand: &str) -> String {
        let (head, shape) = operand.split_at(operand.find(['=', ':']).map_or(0, |at| at + 1));
        let mut dims: Vec<&str> = shape.trim_start_matches('=').split_whitespace().collect();
        let at = self.below(dims.len());
        match self.below(8) {
            0 if !dims.is_empty() => dims[at] = self.pick(&["1", "0", "2", "3", "4", "7", "8", "16", "64"]),
            1 if !dims.is_empty() => _ = dims.remove(at),
            2 => dims.insert(at, self.pick(&["1", "4", "8", "16"])),
            3 if !shape.contains('[') && !dims.is_empty() => {
                dims[at] = "D";
                return dims.join(" ");
            }
            4 => return "?".into(),
            5 => return String::new(),
            6 if !shape.contains('[') => return dims.join(" "),
            _ => {}
        }
        if shape.contains('[') { operand.to_owned() } else { format!("{head}{}", dims.join(" ")) }
    }

    /// The attributes with one left out, or with one of its numbers changed.
    fn change_attributes(&mut self, attributes: &str) -> String {
        let mut all: Vec<String> = attributes.split_whitespace().map(str::to_owned).collect();
        let at = self.below(all.len());
        if self.below(6) == 0 && !all.is_empty() {
            all.remove(at);
        } else if let Some(one) = all.get_mut(at) {
            let digits = one.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(i, _)| i).collect::<Vec<_>>();
            if let Some(&digit) = digits.get(self.below(digits.len())) {
                let to = ["0", "1", "2", "3", "8", "-1", "-9", "9223372036854775807", "1,1"];
                one.replace_range(digit..=digit, self.pick(&to));
            }
        }
        all.join(" ")
    }
}

/// Sizes for the inputs whose rank is known.
fn signature(model: &Model) -> Vec<Signature> {
    let sized = |node| {
        let Node::Input(input) = model.graph.node(node) else { return None };
        let ty = input.info.ty.tensor()?;
        let shape = ty.shape.as_ref()?.iter().map(|d| d.size().unwrap_or(3)).collect();
        Some((input.info.name.clone(), ty.dtype, shape))
    };
    model.graph.inputs().into_iter().filter_map(sized).collect()
}

#[test]
fn odd_models_do_no_harm() {
    let mut stream = Stream(7);
    let has_call = |op: &str| CALLS.iter().any(|c| c.0 == op);
    let others = known().into_iter().filter(|op| !has_call(op));
    let plain = others.flat_map(|op| PLAIN.map(|operands| (op, "axis=1", operands)));
    for (op, attributes, operands) in CALLS.iter().copied().chain(plain) {
        for round in 0..150 {
            let mut operands: Vec<String> = operands.split(',').map(|o| o.trim().to_owned()).collect();
            let mut attributes = attributes.to_owned();
            for _ in 0..stream.below(4) {
                if stream.below(3) == 0 {
                    attributes = stream.change_attributes(&attributes);
                } else {
                    let at = stream.below(operands.len());
                    operands[at] = stream.change_operand(&operands[at]);
                }
            }
            let opset = [1, 7, 9, 11, 13, 18, 21, 23][stream.below(8)];
            let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
            let case = Case::new(op, opset, &attributes, &operands, 1 + stream.below(4));
            let outcome = std::panic::catch_unwind(|| {
                case.zero(&vec![round % 2 == 0; operands.len()]);
                (case.show(), case.cost(), case.is_identity(), case.refit_nothing())
            });
            assert!(outcome.is_ok(), "{op} {opset} `{attributes}` {operands:?}");
            let statistics = if round % 2 == 0 { Statistics::Running } else { Statistics::Batch };
            let outcome = std::panic::catch_unwind(|| {
                lower(&Builder::new(), &case.model, &signature(&case.model), statistics).is_ok()
            });
            assert!(outcome.is_ok(), "as a program: {op} {opset} `{attributes}` {operands:?}");
        }
    }
}
