use super::*;
use crate::ir::DType;

fn input(dtype: DType, shape: &[i64]) -> InputSpec {
    let dim = |(i, &n): (usize, &i64)| if n == 0 { Dim::unknown(i as u64) } else { Dim::Fixed(n) };
    InputSpec::new("x", dtype, shape.iter().enumerate().map(dim).collect())
}

fn of(shape: &[i64], text: &str) -> Result<Preprocess, PreprocessError> {
    Preprocess::of(&input(DType::F32, shape), text)
}

fn told(shape: &[i64], text: &str) -> String {
    of(shape, text).unwrap_err().to_string()
}

fn numbers(preprocess: &Preprocess, image: &RgbImage) -> Vec<f64> {
    let mut numbers = vec![];
    preprocess.add(image, &mut numbers).unwrap();
    numbers
}

#[test]
fn what_is_left_out_follows_from_the_input() {
    let nchw = of(&[0, 3, 8, 6], "").unwrap();
    assert_eq!((nchw.layout, nchw.channels, nchw.size, nchw.scale), (Layout::Nchw, Channels::Rgb, (8, 6), 255.0));
    let nhwc = of(&[1, 8, 6, 1], "").unwrap();
    assert_eq!((nhwc.layout, nhwc.channels, nhwc.size), (Layout::Nhwc, Channels::Gray, (8, 6)));
    assert_eq!(nhwc.shape(5), [5, 8, 6, 1]);
    assert_eq!(Preprocess::of(&input(DType::U8, &[0, 3, 8, 6]), "").unwrap().scale, 1.0);
    let open = of(&[0, 0, 0, 0], "size=4x5 layout=nhwc channels=bgr").unwrap();
    assert_eq!(open.shape(1), [1, 4, 5, 3]);
}

#[test]
fn what_the_input_does_not_tell_or_denies_is_an_error() {
    assert_eq!(
        told(&[0, 3], ""),
        "the input \"x\" is [?0, 3]; images need an axis for samples, height, width and channels each"
    );
    assert!(told(&[0, 4, 8, 8], "").contains("give layout=nchw or layout=nhwc"));
    assert!(told(&[0, 3, 0, 8], "").contains("give size=224"));
    assert!(told(&[0, 3, 8, 8], "size=9").contains("not 9x9"));
    assert!(told(&[0, 3, 8, 8], "channels=gray").contains("not of 1 channels"));
    assert_eq!(told(&[0, 3, 8, 8], "resize=7"), "preprocess: resize=7 is less than the size 8x8");
}

#[test]
fn mistakes_in_the_text_are_named() {
    for (text, words) in [
        ("sise=3", "\"sise\" is not one of size"),
        ("size", "\"size\" is not one of"),
        ("scale=1 scale=2", "scale is given twice"),
        ("size=0", "size=0: give a number of pixels"),
        ("size=8x", "size=8x"),
        ("size=99999999", "size=99999999"),
        ("resize=a", "resize=a"),
        ("mean=1,2", "one number or three"),
        ("std=0", "none 0"),
        ("scale=nan", "scale=nan"),
        ("layout=chw", "nchw or nhwc"),
        ("channels=cmyk", "rgb, bgr or gray"),
    ] {
        let told = told(&[0, 3, 8, 8], text);
        assert!(told.starts_with("preprocess: ") && told.contains(words), "{told}");
    }
}

#[test]
fn numbers_are_scaled_and_ordered() {
    let mut image = RgbImage::from_pixel(2, 1, Rgb([10, 20, 30]));
    image.put_pixel(1, 0, Rgb([110, 120, 130]));
    let text = "scale=10 mean=1,2,3 std=1,2,4";
    let nchw = of(&[0, 3, 1, 2], text).unwrap();
    assert_eq!(numbers(&nchw, &image), [0., 10., 0., 5., 0., 2.5]);
    let nhwc = of(&[0, 1, 2, 3], text).unwrap();
    assert!(nhwc.layout == Layout::Nhwc || nhwc.shape(1) == [1, 1, 2, 3]);
    let nhwc = of(&[0, 1, 2, 3], &format!("{text} layout=nhwc")).unwrap();
    assert_eq!(numbers(&nhwc, &image), [0., 0., 0., 10., 5., 2.5]);
    let bgr = of(&[0, 3, 1, 2], "scale=10 channels=bgr").unwrap();
    assert_eq!(numbers(&bgr, &image), [3., 13., 2., 12., 1., 11.]);
    let gray = of(&[0, 1, 1, 2], "scale=1").unwrap();
    assert_eq!(numbers(&gray, &image), [18., 118.]);
}

#[test]
fn the_middle_is_cut_out() {
    // Columns 0 to 9; the middle four are 3 to 6.
    let image = RgbImage::from_fn(10, 4, |x, _| Rgb([x as u8; 3]));
    let four = of(&[0, 1, 4, 4], "scale=1").unwrap();
    assert_eq!(numbers(&four, &image)[..4], [3., 4., 5., 6.]);
    let two = of(&[0, 1, 2, 2], "scale=1 resize=4").unwrap();
    assert_eq!(numbers(&two, &image), [4., 5., 4., 5.]);
    // Each pixel of the half-sized image lies between two; the filter spans four.
    let half = of(&[0, 1, 2, 2], "scale=1").unwrap();
    assert_eq!(half.resized((10, 4)), Some((5, 2)));
    assert_eq!(half.resized((4, 10)), Some((2, 5)));
    assert_eq!(of(&[0, 1, 2, 4], "").unwrap().resized((10, 4)), Some((5, 2)));
    assert_eq!(of(&[0, 1, 2, 4], "").unwrap().resized((4, 10)), Some((4, 10)));
}

#[test]
fn an_image_too_long_is_none() {
    let image = RgbImage::new(60_000, 1);
    assert!(of(&[0, 1, 8, 8], "resize=16384").unwrap().add(&image, &mut vec![]).is_none());
}
