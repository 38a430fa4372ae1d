//! Convolutions at computed places (DeformConv), and the inverse of unfolding (Col2Im).

use super::{AxisRule, Refit, Rule, Site, zero};
use crate::infer::Fact;
use crate::ir::{Attribute, Dim};

pub const RULES: &[(&str, Rule)] = &[("Col2Im", COL2IM), ("DeformConv", DEFORM_CONV)];

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
    use super::super::testing2::{Net, int};

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
