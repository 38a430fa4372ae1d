//! Sampling of images at computed places: regions, grids, deformable kernels, and the inverse of unfolding.

use super::{AxisRule, Refit, Rule, Site, zero};
use crate::infer::Fact;
use crate::ir::{Attribute, Dim};

pub const RULES: &[(&str, Rule)] = &[
    ("RoiAlign", ROI_ALIGN),
    ("MaxRoiPool", MAX_ROI_POOL),
    ("GridSample", GRID_SAMPLE),
    ("com.microsoft.GridSample", GRID_SAMPLE),
    ("Col2Im", COL2IM),
    ("DeformConv", DEFORM_CONV),
];

/// Why the axes of images are pinned.
const PLACES: &str = "it samples at places along this axis";

/// RoiAlign: a patch of fixed size of each region: `(n, c, h, w), (r, 4), (r) -> (r, c, height, width)`.
const ROI_ALIGN: Rule = Rule {
    infer: |site| Ok(vec![patches(site, [site.call.int("output_height", 1), site.call.int("output_width", 1)])]),
    axes: |site| {
        let ranks = (site.rank(0), site.rank(1), site.rank(2));
        let rule = AxisRule::new("_ c _ _, r _, r -> r c _ _").why(PLACES);
        (ranks == (Some(4), Some(2), Some(1))).then_some(rule)
    },
    zero: zero::first,
    ..Rule::OPAQUE
};

/// MaxRoiPool: the same with maxima, and the image's number within the region.
const MAX_ROI_POOL: Rule = Rule {
    infer: |site| {
        let Some(&[h, w]) = site.call.ints("pooled_shape") else { return Err("no pooled_shape of two".into()) };
        Ok(vec![patches(site, [h, w])])
    },
    axes: |site| {
        let rule = AxisRule::new("_ c _ _, r _ -> r c _ _").why(PLACES);
        ((site.rank(0), site.rank(1)) == (Some(4), Some(2))).then_some(rule)
    },
    zero: zero::first,
    ..Rule::OPAQUE
};

fn patches(site: &Site, [h, w]: [i64; 2]) -> Fact {
    let dim = |slot, axis| site.dim(slot, axis).cloned().unwrap_or_else(|| site.unknown());
    Fact::maybe(site.dtype(0), Some(vec![dim(1, 0), dim(0, 1), Dim::Fixed(h.max(0)), Dim::Fixed(w.max(0))]))
}

/// GridSample: the image at the places of a grid: `(n, c, ..), (n, .., d) -> (n, c, ..)`.
const GRID_SAMPLE: Rule = Rule {
    infer: |site| {
        let (Some([n, c, places @ ..]), Some([_, grid @ .., _])) = (site.shape(0), site.shape(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        if places.len() != grid.len() {
            return Err("a grid of another rank than the image's".into());
        }
        Ok(vec![Fact::maybe(site.dtype(0), Some([&[n.clone(), c.clone()], grid].concat()))])
    },
    axes: |site| {
        let fits = site.rank(0)? >= 2 && site.rank(0) == site.rank(1);
        fits.then(|| AxisRule::new("n c _*, n _* -> n c _*").why(PLACES))
    },
    zero: zero::first,
    ..Rule::OPAQUE
};

/// Col2Im: adds the columns of unfolded blocks up to an image: `n (c block) l -> n c ..`.
const COL2IM: Rule = Rule {
    infer: |site| {
        let (Some([n, c, _]), Some(image)) = (site.shape(0), site.dims(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        let depth = block(site).and_then(|b| c.div_exact(&Dim::Fixed(b))).unwrap_or_else(|| site.unknown());
        Ok(vec![Fact::maybe(site.dtype(0), Some([vec![n.clone(), depth], image].concat()))])
    },
    axes: |site| {
        let block = block(site).filter(|&b| b > 0)?;
        let [_, c, _] = site.shape(0)? else { return None };
        c.div_exact(&Dim::Fixed(block))?;
        Some(AxisRule::new(format!("n (c {block}) _, _*, _* -> n c _*")).why("blocks overlap in the image"))
    },
    zero: zero::first,
    ..Rule::OPAQUE
};

fn block(site: &Site) -> Option<i64> {
    site.ints(2)?.into_iter().try_fold(1i64, |n, d| n.checked_mul(d))
}

/// DeformConv: a convolution whose taps are moved by offsets and scaled by a mask, both computed. Each of
/// `offset_group` groups of channels has offsets of its own.
const DEFORM_CONV: Rule = Rule {
    infer: |site| {
        let (Some([n, _, image @ ..]), Some([o, _, taps @ ..])) = (site.shape(0), site.shape(1)) else {
            return Ok(vec![Fact::maybe(site.dtype(0), None)]);
        };
        if image.len() != taps.len() {
            return Err("a kernel of another rank than the image's".into());
        }
        // The offsets are given for each place of the result.
        let places: Vec<Dim> = match site.shape(2) {
            Some([_, _, places @ ..]) if places.len() == image.len() => places.to_vec(),
            _ => image.iter().map(|_| site.unknown()).collect(),
        };
        Ok(vec![Fact::maybe(site.dtype(0), Some([vec![n.clone(), o.clone()], places].concat()))])
    },
    axes: |site| {
        let (x, w) = (site.rank(0)?, site.rank(1)?);
        let groups = site.call.int("group", 1);
        let known = (2..site.arity()).all(|slot| !site.has(slot) || site.rank(slot).is_some());
        let bias = !site.has(3) || site.rank(3) == Some(1);
        let divides = |d: Option<&Dim>| d.is_some_and(|d| d.div_exact(&Dim::Fixed(groups)).is_some());
        if groups < 1 || !known || !bias || x < 2 || x != w || !divides(site.dim(0, 1)) || !divides(site.dim(1, 0)) {
            return None;
        }
        // Several groups of offsets cut the channels at places that a removal would move.
        let text = match site.call.int("offset_group", 1) {
            1 => "n (g i) _*, (g o) i _*, n _*, (g o), n _* -> n (g o) _*".to_owned(),
            _ => format!("n _ _*, ({groups} o) _ _*, n _*, ({groups} o), n _* -> n ({groups} o) _*"),
        };
        let offsets = (2..site.arity()).filter(|&slot| slot != 3 && site.has(slot));
        let fits = offsets.into_iter().all(|slot| site.rank(slot).is_some_and(|rank| rank >= 1));
        fits.then(|| AxisRule::new(text).size("g", groups).why("offsets and taps belong to places and groups"))
    },
    zero: |site, z| {
        let at = |i: usize| z.get(i) == Some(&true);
        (at(0) || at(1)) && (at(3) || !site.has(3))
    },
    refit: |site, cut| {
        let groups = cut.size("g").and_then(|d| d.fixed());
        let changed = groups.filter(|&g| g != site.call.int("group", 1));
        Ok(changed.map_or_else(Refit::default, |g| Refit::default().attribute("group", Attribute::Int(g))))
    },
    cost: |site| {
        let (Some(result), Some([_, taps @ ..])) = (site.result_shape(0), site.shape(1)) else { return Dim::Fixed(0) };
        result.iter().chain(taps).cloned().product()
    },
    ..Rule::OPAQUE
};

#[cfg(test)]
mod tests {
    use super::super::testing2::{Net, int, ints};

    #[test]
    fn regions_keep_their_channels() {
        let mut net = Net::new(17);
        let (w, rois, batch) = (net.weight(&[1, 8, 5, 5]), net.input("f32 r 4"), net.input("i64 r"));
        let size = [("output_height", int(7)), ("output_width", int(3))];
        let y = net.call("RoiAlign", &[w, rois, batch], &size);
        assert_eq!(net.show(y), "f32[r, 8, 7, 3]");
        assert_eq!(net.show_axes(&[w, y]), "[1, c0:8, 5, 5] [r, c0:8, 7, 3]");
        let z = net.call("MaxRoiPool", &[w, rois], &[("pooled_shape", ints(&[2, 2]))]);
        assert_eq!(net.show(z), "f32[r, 8, 2, 2]");
    }

    #[test]
    fn grids_move_places_only() {
        let mut net = Net::new(17);
        let (w, grid) = (net.weight(&[1, 8, 5, 5]), net.input("f32 1 h w 2"));
        let y = net.call("GridSample", &[w, grid], &[]);
        assert_eq!(net.show(y), "f32[1, 8, h, w]");
        assert_eq!(net.show_axes(&[w, y]), "[1, c0:8, 5, 5] [1, c0:8, h, w]");
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
    fn deformable_kernels_share_the_rule_of_convolutions() {
        let mut net = Net::new(19);
        let (x, w, offset) = (net.weight(&[1, 6, 9, 9]), net.weight(&[10, 3, 3, 3]), net.input("f32 1 18 h w"));
        let b = net.weight(&[10]);
        let y = net.calls("DeformConv", &[Some(x), Some(w), Some(offset), Some(b)], &[("group", int(2))], 1)[0];
        assert_eq!(net.show(y), "f32[1, 10, h, w]");
        assert_eq!(net.show_axes(&[x, w, b]), "[1, (c0:2 c1:3), 9, 9] [(c0:2 c4:5), c1:3, 3, 3] [(c0:2 c4:5)]");
        assert_eq!(net.show_refit(y, &[(b, 0, 1)]), "group=Int(1)");
        let own = net.weight(&[10, 3, 3, 3]);
        let several = [("group", int(2)), ("offset_group", int(3))];
        net.calls("DeformConv", &[Some(x), Some(own), Some(offset)], &several, 1);
        assert_eq!(net.show_axes(&[x, own]), "[1, (2 3), 9, 9] [(2 c8:5), 3, 3, 3]");
    }
}
