//! ONNX Runtime's quantized forms of other operators.

use crate::case::Case;
use crate::draw::Draw;
use crate::{Generator, check};
use secateur::ir::DType;

pub const CASES: &[(&str, Generator)] = &[
    ("com.microsoft.DynamicQuantizeLSTM", lstm),
    ("com.microsoft.DynamicQuantizeMatMul", dynamic_matmul),
    ("com.microsoft.NhwcMaxPool", max_pool),
    ("com.microsoft.QAttention", attention),
    ("com.microsoft.QGemm", gemm),
    ("com.microsoft.QLinearAdd", two),
    ("com.microsoft.QLinearAveragePool", pool),
    ("com.microsoft.QLinearConcat", concat),
    ("com.microsoft.QLinearConv", conv),
    ("com.microsoft.QLinearGlobalAveragePool", pool),
    ("com.microsoft.QLinearLeakyRelu", one),
    ("com.microsoft.QLinearMul", two),
    ("com.microsoft.QLinearReduceMean", reduce),
    ("com.microsoft.QLinearSigmoid", one),
    ("com.microsoft.QLinearSoftmax", one),
    ("com.microsoft.QLinearWhere", choose),
];

#[test]
fn laws() {
    check(CASES, 12);
}

impl Case {
    /// A quantized tensor.
    fn quantized(self, d: &mut Draw, shape: &[usize]) -> Case {
        self.data(d.tensor(DType::U8, shape, 0.0, 200.0))
    }

    /// A scale and a zero point for all.
    fn scaled(self, d: &mut Draw) -> Case {
        self.data(d.tensor(DType::F32, &[], 0.5, 1.0)).data(d.tensor(DType::U8, &[], 0.0, 9.0))
    }
}

fn two(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 4);
    let y = if d.flip() { x.clone() } else { x[1..].to_vec() };
    Case::new(op, 1).quantized(d, &x).scaled(d).quantized(d, &y).scaled(d).scaled(d)
}

fn choose(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    let condition = d.tensor(DType::Bool, &x, 0.0, 1.0);
    Case::new(op, 1).data(condition).quantized(d, &x).scaled(d).quantized(d, &x).scaled(d).scaled(d)
}

fn one(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(1, 3);
    Case::new(op, 1).quantized(d, &x).scaled(d).scaled(d)
}

fn reduce(op: &str, d: &mut Draw) -> Case {
    let x = d.shape(2, 4);
    let axis = d.axis(x.len());
    Case::new(op, 1)
        .ints("axes", &[axis])
        .attribute("keepdims", usize::from(d.flip()))
        .quantized(d, &x)
        .scaled(d)
        .scaled(d)
}

fn concat(op: &str, d: &mut Draw) -> Case {
    let mut x = d.shape(2, 3);
    let case = Case::new(op, 1).attribute("axis", 1).scaled(d).quantized(d, &x).scaled(d);
    x[1] = d.range(1, 4);
    case.quantized(d, &x).scaled(d)
}

fn pool(op: &str, d: &mut Draw) -> Case {
    let (c, last) = (d.range(1, 4), d.flip());
    let x = if last { [2, 4, 4, c] } else { [2, c, 4, 4] };
    let case = Case::new(op, 1).attribute("channels_last", usize::from(last));
    let case = if op.ends_with("GlobalAveragePool") { case } else { case.ints("kernel_shape", &[2, 2]) };
    case.quantized(d, &x).scaled(d).scaled(d)
}

fn max_pool(op: &str, d: &mut Draw) -> Case {
    let c = d.range(1, 4);
    Case::new(op, 1).ints("kernel_shape", &[2, 2]).quantized(d, &[2, 4, 4, c])
}

fn conv(op: &str, d: &mut Draw) -> Case {
    let (g, i, o, last) = (d.range(1, 2), d.range(1, 3), d.range(1, 3), d.flip());
    let x = if last { [2, 4, 3, g * i] } else { [2, g * i, 4, 3] };
    let case = Case::new(op, 1).attribute("group", g).attribute("channels_last", usize::from(last));
    let case = case.quantized(d, &x).scaled(d).quantized(d, &[g * o, i, 2, 2]).scaled(d).scaled(d);
    if d.flip() { case } else { case.data(d.tensor(DType::I32, &[g * o], -9.0, 9.0)) }
}

fn gemm(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).attribute("transB", 1).quantized(d, &[m, k]).scaled(d).quantized(d, &[n, k]).scaled(d);
    let case = case.data(d.tensor(DType::I32, &[n], -9.0, 9.0));
    if d.flip() { case } else { case.scaled(d) }
}

fn dynamic_matmul(op: &str, d: &mut Draw) -> Case {
    let (m, k, n) = (d.range(1, 4), d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).data(d.floats(&[2, m, k])).data(d.tensor(DType::I8, &[k, n], -9.0, 9.0));
    case.data(d.tensor(DType::F32, &[n], 0.5, 1.0)).data(d.tensor(DType::I8, &[n], 0.0, 3.0)).data(d.floats(&[n]))
}

fn attention(op: &str, d: &mut Draw) -> Case {
    let (h, width, i) = (d.range(1, 3), d.range(1, 3), d.range(1, 4));
    let case = Case::new(op, 1).attribute("num_heads", h).quantized(d, &[2, 3, i]);
    let case = case.data(d.tensor(DType::I8, &[i, 3 * h * width], -9.0, 9.0)).data(d.floats(&[3 * h * width]));
    let scale = d.tensor(DType::F32, &[], 0.5, 1.0);
    let zero = d.tensor(DType::U8, &[], 0.0, 9.0);
    case.data(scale.clone()).data(scale).absent().data(zero).data(d.tensor(DType::I8, &[], 0.0, 0.0))
}

fn lstm(op: &str, d: &mut Draw) -> Case {
    let (i, h) = (d.range(1, 4), d.range(1, 4));
    let case = Case::new(op, 1).attribute("hidden_size", h).results(3).data(d.floats(&[3, 2, i]));
    let case = case.data(d.tensor(DType::I8, &[1, i, 4 * h], -9.0, 9.0));
    let case = case.data(d.tensor(DType::I8, &[1, h, 4 * h], -9.0, 9.0)).data(d.floats(&[1, 8 * h]));
    let case = if d.flip() {
        case.absent().data(d.floats(&[1, 2, h])).data(d.floats(&[1, 2, h])).absent()
    } else {
        case.absent().absent().absent().absent()
    };
    // One scale for a direction, or one for each column.
    let (shape, zero) = (d.pick(&[&[1][..], &[1, 4 * h]]).to_vec(), d.pick(&[0.0, 3.0]));
    let scales = |d: &mut Draw, case: Case| {
        case.data(d.tensor(DType::F32, &shape, 0.01, 0.1)).data(d.tensor(DType::I8, &shape, 0.0, zero))
    };
    let case = scales(d, case);
    scales(d, case)
}
