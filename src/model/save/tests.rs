use super::*;
use crate::ir::{Constant, DType, Dim, Form, Input, Origin, Output, Tensor, TensorType, Type, Use, ValueInfo};
use crate::load::load;

/// `y = Add(x, w)`, with as many weights as asked for.
fn model(count: usize) -> Model {
    let mut g = Graph::default();
    g.name = "g".into();
    let info = |name: &str| {
        ValueInfo::new(name, Type::Tensor(TensorType::new(DType::F32, vec![Dim::symbol("n"), count.into()])))
    };
    let x = g.add(Node::Input(Input { info: info("x"), captured: false, default: None }));
    let values: Vec<f32> = (0..count).map(|i| i as f32).collect();
    let tensor = Tensor::from_f32(vec![count], &values);
    let w = g.add_constant(Constant { name: "w".into(), tensor, form: Form::Initializer, origin: Origin::Here });
    let mut call = crate::ir::Call::new("Add");
    (call.results, call.arity) = (vec!["y".into()], 2);
    let add = g.add(Node::Call(Box::new(call)));
    let port = |node| crate::ir::ValueId { node, port: 0 };
    g.connect(port(x), Use { node: add, slot: 0 });
    g.connect(w, Use { node: add, slot: 1 });
    g.add_output(port(add), info("y"));
    Model { ir_version: 8, opsets: [(String::new(), 17)].into(), graph: g, ..Model::default() }
}

fn options(external: ExternalData) -> SaveOptions {
    SaveOptions { external, ..SaveOptions::default() }
}

#[test]
fn big_tensors_go_into_an_aligned_file() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.onnx"), dir.path().join("b.onnx"));
    let saved = save(&model(300), &a, &options(ExternalData::Always)).unwrap();
    assert_eq!(saved.data, Some((dir.path().join("a.onnx.data"), 1200)));
    let loaded = load(&a).unwrap();
    assert_eq!(to_bytes(&loaded).unwrap(), to_bytes(&model(300)).unwrap());
    // External stays external, inline stays inline.
    assert!(save(&loaded, &b, &SaveOptions::default()).unwrap().data.is_some());
    assert!(save(&loaded, &b, &options(ExternalData::Never)).unwrap().data.is_none());
    assert!(save(&model(300), &b, &SaveOptions::default()).unwrap().data.is_none());
    // Small tensors stay inside, and then there is no data file.
    assert!(save(&model(10), &b, &options(ExternalData::Always)).unwrap().data.is_none());
    let mut file = DataFile::default();
    for length in [1, 64, 65, 2] {
        let data: Vec<u8> = vec![length; usize::from(length)];
        let (tensor, offset) = (Tensor::new(DType::U8, vec![data.len()], data).unwrap(), file.length);
        file.place(tensor.raw().unwrap().clone());
        assert!(file.pieces.last().is_some_and(|(at, _)| at % 64 == 0 && *at >= offset));
    }
    let written = write_data(&file, dir.path()).unwrap();
    let bytes = std::fs::read(written.path()).unwrap();
    assert_eq!((bytes.len(), bytes[64], bytes[128], bytes[192], bytes[193]), (258, 64, 65, 65, 0));
}

#[test]
fn the_input_and_its_data_are_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    save(&model(300), &path, &options(ExternalData::Always)).unwrap();
    let before = std::fs::read(dir.path().join("m.onnx.data")).unwrap();
    let loaded = load(&path).unwrap();
    let mut o = SaveOptions { input: Some(path.clone()), ..SaveOptions::default() };
    let error = save(&loaded, &path, &o).unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()) && error.contains("input file"), "{error}");
    o.overwrite_input = true;
    let saved = save(&loaded, &path, &o).unwrap();
    assert_eq!(saved.data.unwrap().0, dir.path().join("m.onnx.1.data"));
    assert_eq!(std::fs::read(dir.path().join("m.onnx.data")).unwrap(), before);
    assert_eq!(to_bytes(&load(&path).unwrap()).unwrap(), to_bytes(&model(300)).unwrap());
}

#[test]
fn a_model_that_is_replaced_keeps_its_data_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let (path, always) = (dir.path().join("m.onnx"), options(ExternalData::Always));
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    save(&model(300), &path, &always).unwrap();
    assert_eq!(names(), ["m.onnx", "m.onnx.data"]);
    // The same once more changes nothing, not even a name.
    let first = std::fs::read(&path).unwrap();
    save(&model(300), &path, &always).unwrap();
    assert_eq!((names(), std::fs::read(&path).unwrap()), (vec!["m.onnx".into(), "m.onnx.data".into()], first));
    // Other data go by another name, so that the old model has its own until the new one is there.
    save(&model(400), &path, &always).unwrap();
    assert_eq!(names(), ["m.onnx", "m.onnx.1.data"]);
    assert_eq!(to_bytes(&load(&path).unwrap()).unwrap(), to_bytes(&model(400)).unwrap());
    assert_eq!(size(&model(300), &path, &always).unwrap(), {
        let saved = save(&model(300), &path, &always).unwrap();
        saved.bytes + saved.data.unwrap().1
    });
    assert_eq!(names(), ["m.onnx", "m.onnx.data"]);
    save(&model(10), &path, &always).unwrap();
    assert_eq!(names(), ["m.onnx"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_other_things_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file.onnx"), dir.path().join("link.onnx"));
    save(&model(1), &file, &SaveOptions::default()).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    save(&model(2), &link, &SaveOptions::default()).unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read(&file).unwrap(), to_bytes(&model(2)).unwrap());
    let o = SaveOptions { input: Some(link), ..SaveOptions::default() };
    assert!(save(&model(1), &file, &o).is_err());
    assert!(save(&model(1), dir.path(), &SaveOptions::default()).is_err());
    assert!(save(&model(1), Path::new("/dev/null"), &SaveOptions::default()).is_err());
}

#[test]
fn an_error_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let error = save(&model(1), &dir.path().join("none/m.onnx"), &SaveOptions::default()).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
    let mut broken = model(300);
    let add = broken.graph.calls()[0];
    broken.graph.call_mut(add).unwrap().results[0] = "x".into();
    assert!(matches!(to_bytes(&broken), Err(SaveError::NameTwice { .. })));
    broken.graph.call_mut(add).unwrap().results[0] = "z".into();
    let error = save(&broken, &dir.path().join("m.onnx"), &options(ExternalData::Always)).unwrap_err().to_string();
    assert!(error.contains("the output \"y\" is made by a value of another name, \"z\""), "{error}");
    broken.graph.call_mut(add).unwrap().results[0] = String::new();
    assert!(matches!(to_bytes(&broken), Err(SaveError::Output { .. })));
    // The folder is gone between the two steps of a write: nothing is there to find afterwards.
    let failed = temporary(dir.path(), |_| Err(io::Error::other("full")));
    assert_eq!(failed.unwrap_err().to_string(), "full");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_type_is_patched_only_where_it_changed() {
    let loaded = crate::load::from_bytes(to_bytes(&model(300)).unwrap().into(), None).unwrap();
    let Node::Output(Output { info }) = loaded.graph.node(loaded.graph.outputs()[0]) else { panic!() };
    let mut p: ValueInfoProto = decode(&info.extra, "y").unwrap();
    let Some(TypeProto { value: Some(type_proto::Value::TensorType(t)), .. }) = &mut p.r#type else { panic!() };
    let dims = &mut t.shape.as_mut().unwrap().dim;
    dims[0].denotation = Some("BATCH".into());
    dims[1].denotation = Some("CHANNEL".into());
    let shape = vec![Dim::symbol("n"), Dim::symbol("n") * Dim::Fixed(2), Dim::unknown(4)];
    let changed =
        ValueInfo { name: "q".into(), ty: Type::Tensor(TensorType::new(DType::F16, shape)), extra: remainder(&p) };
    let patched = types::value_info(&changed).unwrap();
    let Some(TypeProto { value: Some(type_proto::Value::TensorType(t)), .. }) = patched.r#type else { panic!() };
    use crate::proto::tensor_shape_proto::dimension::Value;
    let dims: Vec<_> = t.shape.iter().flat_map(|s| &s.dim).map(|d| (d.value.clone(), d.denotation())).collect();
    let param = |s: &str| Some(Value::DimParam(s.into()));
    assert_eq!(dims, [(param("n"), "BATCH"), (param("2*n"), "CHANNEL"), (None, "")]);
    assert_eq!((t.elem_type, patched.name.as_deref()), (Some(10), Some("q")));
    assert_eq!(types::value_info(&ValueInfo { ty: Type::Other, ..changed }).unwrap().r#type, p.r#type);
}
