//! Tests of the operators that move slices about, and of chains of all of them.

use crate::ir::Tensor;
use crate::ops::testing::nets::{Net, int, ints, text};

#[test]
fn concatenations_split_elsewhere_share_their_boundaries() {
    let mut net = Net::new(17);
    let (a, b) = (net.weight(&[2, 24]), net.weight(&[2, 40]));
    let whole = net.call("Concat", &[a, b], &[("axis", int(-1))]);
    let sizes = net.ints(&[16, 48]);
    let parts = net.calls("Split", &[Some(whole), Some(sizes)], &[("axis", int(1))], 2);
    assert_eq!(net.show_axes(&[a, b, whole]), "[c0:2, c1:16+c2:8] [c0:2, c3:40] [c0:2, c1:16+c2:8+c3:40]");
    assert_eq!(net.show_axes(&parts), "[c0:2, c1:16] [c0:2, c2:8+c3:40]");
    assert_eq!(net.show_refit(parts[0], &[(parts[0], 1, 10)]), "@1=[10, 48]");
    assert_eq!(net.show_refit(parts[0], &[]), "");
}

#[test]
fn parts_without_sizes_are_equal() {
    let mut net = Net::new(18);
    let w = net.weight(&[3, 7]);
    let parts = net.calls("Split", &[Some(w)], &[("axis", int(1)), ("num_outputs", int(2))], 2);
    assert_eq!([net.show(parts[0]), net.show(parts[1])], ["f32[3, 4]", "f32[3, 3]"]);
    assert_eq!(net.show_refit(parts[0], &[(parts[1], 1, 2)]), "@1=[4, 2] -num_outputs");
    // Three and three are what it does without being told.
    assert_eq!(net.show_refit(parts[0], &[(parts[0], 1, 3)]), "");
    let mut old = Net::new(11);
    let w = old.weight(&[2, 8]);
    let parts = old.calls("Split", &[Some(w)], &[("axis", int(1))], 2);
    assert_eq!(old.show_refit(parts[0], &[(parts[1], 1, 2)]), "split=Ints([4, 2])");
    // Before opset 18 only even parts need no saying.
    assert_eq!(old.show_refit(parts[0], &[(parts[1], 1, 3)]), "split=Ints([4, 3])");
    assert_eq!(old.show_refit(parts[0], &[(parts[0], 1, 3), (parts[1], 1, 3)]), "");
    let wrong = old.calls("Split", &[Some(w)], &[("axis", int(1)), ("split", ints(&[4, 5]))], 2);
    assert_eq!(old.contradictions(), ["parts of 9 in an axis of length 8"]);
    assert_eq!(old.show(wrong[0]), "-");
}

#[test]
fn a_margin_is_a_term() {
    let mut net = Net::new(13);
    let (w, pads) = (net.weight(&[2, 4, 3]), net.ints(&[0, 2, 0, 0, 2, 0]));
    let y = net.call("Pad", &[w, pads], &[]);
    let v = net.weight(&[2, 8, 3]);
    let sum = net.call("Add", &[y, v], &[]);
    assert_eq!(net.show_axes(&[w, v]), "[c0:2, c1:4, c2:3] [c0:2, c4:2+c1:4+c5:2, c2:3]");
    assert_eq!(net.show(sum), "f32[2, 8, 3]");
    assert_eq!(net.show_refit(y, &[(v, 1, 1)]), "@1=[0, 1, 0, 0, 2, 0]");
    assert_eq!(net.show_refit(y, &[(w, 1, 1)]), "");
    let reflected = net.call("Pad", &[w, pads], &[("mode", text("reflect"))]);
    assert_eq!(net.show_axes(&[reflected]), "[c0:2, 8, c2:3]");
}

#[test]
fn pads_are_an_attribute_or_name_their_axes() {
    let mut net = Net::new(18);
    let (x, pads, axes) = (net.input("f32 n 4 h w"), net.ints(&[1, 1, 2, 2]), net.ints(&[-2, -1]));
    let y = net.calls("Pad", &[Some(x), Some(pads), None, Some(axes)], &[], 1)[0];
    assert_eq!(net.show(y), "f32[n, 4, 3+h, 3+w]");
    let mut old = Net::new(10);
    let x = old.input("f32 n 4");
    let y = old.call("Pad", &[x], &[("pads", ints(&[0, 1, 0, 1]))]);
    old.call("Pad", &[x], &[("pads", ints(&[0, 1]))]);
    assert_eq!(old.show(y), "f32[n, 6]");
    assert_eq!(old.contradictions(), ["2 amounts for 2 axes"]);
}

#[test]
fn blocks_of_depth_are_factors() {
    let mut net = Net::new(17);
    let w = net.weight(&[1, 12, 2, 2]);
    let (dcr, crd) = (
        net.call("DepthToSpace", &[w], &[("blocksize", int(2))]),
        net.call("SpaceToDepth", &[w], &[("blocksize", int(2))]),
    );
    assert_eq!([net.show(dcr), net.show(crd)], ["f32[1, 3, 4, 4]", "f32[1, 48, 1, 1]"]);
    assert_eq!(net.show_axes(&[w, dcr]), "[1, (2 2 c2:3), 2, 2] [1, c2:3, 4, 4]");
    let v = net.weight(&[1, 12, 2, 2]);
    net.call("DepthToSpace", &[v], &[("blocksize", int(2)), ("mode", text("CRD"))]);
    assert_eq!(net.show_axes(&[v]), "[1, (c5:3 2 2), 2, 2]");
    net.call("DepthToSpace", &[v], &[("blocksize", int(0))]);
    net.call("DepthToSpace", &[v], &[("blocksize", int(5))]);
    assert_eq!(net.contradictions().len(), 2);
}

#[test]
fn columns_fold_to_images() {
    let mut net = Net::new(18);
    let (w, image, block) = (net.weight(&[1, 12, 4]), net.ints(&[4, 4]), net.ints(&[2, 2]));
    let y = net.call("Col2Im", &[w, image, block], &[]);
    assert_eq!(net.show(y), "f32[1, 3, 4, 4]");
    assert_eq!(net.show_axes(&[w, y]), "[1, (c0:3 4), 4] [1, c0:3, 4, 4]");
}

#[test]
fn the_chain_of_torchscript_keeps_its_symbols() {
    // x.view(x.size(0), x.size(1), 4, 16)
    let mut net = Net::new(11);
    let x = net.input("f32 n t 64");
    let w = net.weight(&[64]);
    let y = net.call("Mul", &[x, w], &[]);
    let mut parts = vec![];
    for axis in [0, 1] {
        let shape = net.call("Shape", &[y], &[]);
        let index = net.int(axis);
        let size = net.call("Gather", &[shape, index], &[("axis", int(0))]);
        parts.push(net.call("Unsqueeze", &[size], &[("axes", ints(&[0]))]));
    }
    parts.push(net.ints(&[4]));
    parts.push(net.ints(&[-1]));
    let target = net.call("Concat", &parts, &[("axis", int(0))]);
    let heads = net.call("Reshape", &[y, target], &[]);
    assert_eq!(net.show(target), "i64[4] = {n, t, 4, -1}");
    assert_eq!(net.show(heads), "f32[n, t, 4, 16]");
    // The input is 64 wide as well, so nothing may go; the refit makes the target a constant all the same.
    assert_eq!(net.show_axes(&[heads]), "[n, t, 4, 16]");
    assert_eq!(net.show_refit(heads, &[]), "@1=[0, 0, 4, -1]");
}

#[test]
fn packed_attention_is_cut_head_by_head() {
    // (t, 3·4·16) seen as t 3 4 16, heads first, then one of three each.
    let mut net = Net::new(13);
    let w = net.weight(&[5, 192]);
    let target = net.ints(&[0, 3, 4, -1]);
    let packed = net.call("Reshape", &[w, target], &[]);
    let heads = net.call("Transpose", &[packed], &[("perm", ints(&[1, 2, 0, 3]))]);
    let parts: Vec<_> = (0..3)
        .map(|i| {
            let index = net.int(i);
            net.call("Gather", &[heads, index], &[])
        })
        .collect();
    let same = net.call("Add", &[parts[0], parts[1]], &[]);
    assert_eq!(net.show(same), "f32[4, 5, 16]");
    assert_eq!(net.show_axes(&[w, parts[2]]), "[c0:5, (1+1+1 c1:4 c2:16)] [c1:4, c0:5, c2:16]");
    assert_eq!(net.show_refit(packed, &[(parts[0], 0, 3)]), "@1=[0, 3, 3, -1]");
    let split = net.calls("Split", &[Some(w)], &[("axis", int(1))], 3);
    assert_eq!(net.show_axes(&split[..1]), "[c0:5, (c1:4 c2:16)]");
}

#[test]
fn shuffled_channels_stay_with_their_group() {
    let mut net = Net::new(13);
    let w = net.weight(&[7, 12, 2, 2]);
    let (apart, together) = (net.ints(&[7, 3, 4, 2, 2]), net.ints(&[7, 12, 2, 2]));
    let groups = net.call("Reshape", &[w, apart], &[]);
    let swapped = net.call("Transpose", &[groups], &[("perm", ints(&[0, 2, 1, 3, 4]))]);
    let y = net.call("Reshape", &[swapped, together], &[]);
    assert_eq!(net.show_axes(&[w, y]), "[c0:7, (c1:3 c2:4), c3:2, c4:2] [c0:7, (c2:4 c1:3), c3:2, c4:2]");
    assert_eq!(net.show_refit(y, &[(groups, 2, 2)]), "@1=[7, 6, 2, 2]");
}

#[test]
fn rotated_halves_have_the_same_columns() {
    // x · cos + concat(-x₂, x₁) · sin
    let mut net = Net::new(13);
    let w = net.weight(&[5, 16]);
    let (zero, half, far, axis) = (net.ints(&[0]), net.ints(&[8]), net.ints(&[i64::MAX]), net.ints(&[1]));
    let low = net.call("Slice", &[w, zero, half, axis], &[]);
    let high = net.call("Slice", &[w, half, far, axis], &[]);
    let minus = net.call("Neg", &[high], &[]);
    let rotated = net.call("Concat", &[minus, low], &[("axis", int(-1))]);
    let y = net.call("Add", &[w, rotated], &[]);
    assert_eq!(net.show_axes(&[w, y]), "[c0:5, c1:8+c1:8] [c0:5, c1:8+c1:8]");
}

#[test]
fn nothing_at_all_is_no_reason_to_panic() {
    let ops = crate::ops::known();
    for opset in [1, 6, 9, 13, 18, 24] {
        for rank in 0..3 {
            let mut net = Net::new(opset);
            let w = net.constant(Tensor::from_i64(vec![0; rank], &vec![3; usize::from(rank == 0)]));
            let odd = net.ints(&[i64::MIN, -1]);
            let open = net.input("f32 ..");
            for op in &ops {
                for operands in [vec![], vec![Some(w)], vec![Some(open)], vec![None, Some(odd)], vec![Some(w); 5]] {
                    net.calls(op, &operands, &[], 2);
                    let odd =
                        [("axis", int(-7)), ("axes", ints(&[i64::MAX, 3])), ("pads", ints(&[-9])), ("to", int(-1))];
                    net.calls(op, &operands, &odd, 1);
                }
            }
            let values: Vec<_> = net.model.graph.calls().into_iter().flat_map(|n| net.model.graph.results(n)).collect();
            net.axes();
            let facts = net.facts();
            assert!(values.iter().all(|&v| facts.shape(v).is_none_or(|s| s.len() < 20)));
        }
    }
}
