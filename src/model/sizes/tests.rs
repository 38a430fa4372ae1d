use super::*;
use crate::ir;

fn model(body: &str) -> Model {
    let text = format!("<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>\n{body}");
    ir::parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The lengths of the first input's axes in a run.
fn lengths(body: &str, given: &Given) -> Vec<i64> {
    let model = model(body);
    let lengths = fit(&model, given, Start::RUN).unwrap();
    assert_eq!(lengths.trouble, None);
    let first = inputs(&model.graph).remove(0).unwrap();
    first.shape.iter().map(|d| lengths.of(d).unwrap()).collect()
}

fn fitted(body: &str) -> Vec<i64> {
    lengths(body, &Given::default())
}

/// What integers the first inputs hold.
fn held(body: &str) -> Vec<Values> {
    let model = model(body);
    let inputs: Vec<FedInput> = inputs(&model.graph).into_iter().flatten().collect();
    let facts = fit(&model, &Given::default(), Start::RUN).unwrap().facts(&model);
    let values = values(&model, &facts, &inputs);
    inputs.iter().filter(|i| !i.dtype.is_float()).map(|i| values[&i.name]).collect()
}

#[test]
fn what_asks_for_nothing_is_short() {
    assert_eq!(fitted("g (f32[n,s] x) => (f32[n,s] y) { y = Relu(x) }"), [2, 16]);
    // Along a window things are longer.
    let text = "g (f32[n,3,h,w] x, f32[8,3,3,3] k) => (f32[n,8,a,b] y) { y = Conv(x, k) }";
    assert_eq!(fitted(text), [2, 3, 64, 64]);
}

#[test]
fn weights_tell_the_channels_and_windows_the_length() {
    let text = "g (f32[?0,?1,?2,?3] x, f32[8,3,3,3] k) => (f32[a,b,c,d] y) { y = Conv(x, k) }";
    assert_eq!(fitted(text), [2, 3, 64, 64]);
    let sound = "g (f32[n,s] x, f32[8,1,256] k) => (f32[n,8,t] y) {
        i64[1] one = {1}
        u = Unsqueeze(x, one)
        y = Conv<strides=[128]>(u, k)
    }";
    assert_eq!(fitted(sound), [2, 256]);
}

#[test]
fn a_reshape_asks_for_multiples() {
    let text = "g (f32[n,s] x) => (f32[a,b,96] y) {
        i64[3] shape = {0, -1, 96}
        y = Reshape(x, shape)
    }";
    assert_eq!(fitted(text)[1] % 96, 0);
    // What comes back from a half as long must be as long as what went in.
    let halves = "g (f32[n,1,s] x, f32[1,1,2] k, f32[1,1,2] l) => (f32[n,1,s] y) {
        a = Conv<strides=[2]>(x, k)
        b = Conv<strides=[2]>(a, k)
        c = ConvTranspose<strides=[2]>(b, l)
        d = ConvTranspose<strides=[2]>(c, l)
        y = Add(x, d)
    }";
    assert_eq!(fitted(halves)[2] % 4, 0);
}

#[test]
fn a_table_of_positions_bounds_the_length() {
    let text = "g (f32[n,s,4] x, f32[1,8,4] table) => (f32[n,s,4] y) { y = Add(x, table) }";
    assert_eq!(fitted(text), [2, 8, 4]);
}

#[test]
fn what_fits_nowhere_is_told() {
    let text = "g (f32[n,5] x, f32[n,7] z) => (f32[n,5] y) { y = Add(x, z) }";
    // Wrong whatever the sizes are: nothing is looked for.
    let of = |text: &str| fit(&model(text), &Given::default(), Start::RUN).unwrap().trouble;
    assert_eq!(of(text), None);
    let given = Given::default().with("s", 3);
    let sound = "g (f32[n,1,s] x, f32[8,1,256] k) => (f32[n,8,t] y) { y = Conv(x, k) }";
    let trouble = fit(&model(sound), &given, Start::RUN).unwrap().trouble.unwrap();
    assert_eq!(trouble.1, "a window of extent 256 does not fit 3 elements");
}

#[test]
fn sizes_are_given_by_name_axis_and_shape() {
    let text = "g (f32[n,?0,4] x, f32[n,m] z) => (f32[n] y) { y = Relu(z) }";
    assert_eq!(lengths(text, &Given::default().with("n", 3).with("x[1]", 5)), [3, 5, 4]);
    assert_eq!(lengths(text, &Given::default().with_shape("x", vec![1, 7, 4])), [1, 7, 4]);
    let error = |given: Given| fit(&model(text), &given, Start::RUN).unwrap_err().to_string();
    let open = "x[0] (`n`), x[1] (`?0`), z[0] (`n`), z[1] (`m`)";
    assert_eq!(error(Given::default().with("k", 3)), format!("the model has no open dimension `k`; open are {open}"));
    assert_eq!(error(Given::default().with("x[2]", 5)), "x[2] is 4, not 5");
    assert_eq!(error(Given::default().with_shape("x", vec![1, 7])), "the input `x` has 3 axes, but 2 are given");
    assert_eq!(error(Given::default().with_shape("q", vec![1])), "the model has no input `q`; it has `x`, `z`");
    let twice = Given::default().with("n", 3).with_shape("z", vec![2, 2]);
    assert_eq!(error(twice), "z[0] is `n`, which is given as 3 already, not 2");
    assert_eq!(error(Given::default().with_batch("q", 1)), "the model has no input `q`; it has `x`, `z`");
}

#[test]
fn indices_stay_within_their_table() {
    let text = |change: &str| {
        format!(
            "g (i64[n,s] x, f32[6,4] table) => (f32[n,s,4] y) {{
                i64[1] two = {{2}}
                {change}
                y = Gather(table, i)
            }}"
        )
    };
    let one = |change: &str| held(&text(change))[0];
    assert_eq!(one("i = Identity(x)"), Values::Between(0, 5));
    assert_eq!(one("i = Add(x, two)"), Values::Between(0, 3));
    assert_eq!(one("c = Cast<to=6>(x)\n i = Cast<to=7>(c)"), Values::Between(0, 5));
    assert_eq!(one("i = Min(x, two)"), Values::TOKENS);
    // Nothing bounds a sum along an axis: the numbers themselves are.
    assert_eq!(one("i = CumSum(x, axis)\n i64[] axis = {1}"), Values::Between(0, 5));
    let both = "g (i64[n,s] a, i64[n,s] b, f32[9,4] table) => (f32[n,s,4] y) {
        i = Add(a, b)
        y = Gather(table, i)
    }";
    assert_eq!(held(both), [Values::Between(0, 4), Values::Between(0, 4)]);
}

#[test]
fn integers_that_point_at_nothing() {
    let mask = "g (i64[n,s] m, f32[n,s] x) => (f32[n,s] y) {
        f32[1] one = {1.0}
        f32[1] low = {-3e38}
        f = Cast<to=1>(m)
        d = Sub(one, f)
        p = Mul(d, low)
        y = Add(x, p)
    }";
    assert_eq!(held(mask), [Values::Just(1)]);
    let rate = "g (i64[] sr, f32[n,s] x) => (f32[n,s] y) {
        i64[] wide = {16000}
        c = Equal(sr, wide)
        y = Where(c, x, x)
    }";
    assert_eq!(held(rate), [Values::Just(16000)]);
    let length = "g (i64[n,1] length, f32[n,8] x) => (f32[n,8] y) {
        i64[] from = {0}
        i64[] to = {8}
        i64[] by = {1}
        r = Range(from, to, by)
        c = Less(r, length)
        f = Cast<to=1>(c)
        y = Mul(x, f)
    }";
    assert_eq!(held(length), [Values::Just(8)]);
    assert_eq!(held("g (i64[n] t) => (f32[n] y) { y = Cast<to=1>(t) }"), [Values::TOKENS]);
}

#[test]
fn states_and_the_axis_of_samples() {
    let text = "g (f32[n,4] x, f32[1,n,4] h) => (f32[n,4] y, f32[1,n,4] hn) {
        i64[1] zero = {0}
        s = Squeeze(h, zero)
        y = Add(x, s)
        hn = Unsqueeze(y, zero)
    }";
    let model = model(text);
    let inputs: Vec<FedInput> = inputs(&model.graph).into_iter().flatten().collect();
    let facts = fit(&model, &Given::default(), Start::RUN).unwrap().facts(&model);
    // x and y are of one type, and so are h and hn: something has to come from outside.
    assert!(states(&model, &facts, &inputs).is_empty());
    let axes = |text: &str, given: &Given| -> Vec<usize> {
        let model = self::model(text);
        let inputs: Vec<FedInput> = super::inputs(&model.graph).into_iter().flatten().collect();
        let lengths = fit(&model, given, Start::RUN).unwrap();
        batch_axes(&model, &inputs, given, &lengths).into_values().collect()
    };
    // In the order of the names: h, x.
    assert_eq!(axes(text, &Given::default()), [1, 0]);
    assert_eq!(axes(text, &Given::default().with_batch("h", 2)), [2, 0]);
    // Without names inference tells: what is added is as long.
    let unnamed = text.replace("f32[n,4] x, f32[1,n,4] h", "f32[?1,4] x, f32[1,?2,4] h");
    let unnamed = unnamed.replace("y = Add(x, s)", "y = Concat<axis=1>(x, s)").replace("f32[n,4] y", "f32[a,8] y");
    assert_eq!(axes(&unnamed.replace("f32[1,n,4] hn", "f32[1,b,8] hn"), &Given::default()), [1, 0]);
}
