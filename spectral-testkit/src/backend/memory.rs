//! Tensors, and values between the host and the device.

use super::fixture::Fixture;
use spectral_core::{DType, Shape, Values};

const SHAPES: [&[usize]; 8] = [&[0], &[1], &[5], &[0, 3], &[3, 0], &[17, 33], &[3, 5, 7], &[2, 3, 4, 5, 6]];

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in SHAPES {
        f.case(format!("memory {extents:?}"), |f| {
            let shape = Shape::new(extents)?;
            let zeros = f.backend.zeros(shape, f.dtype)?;
            f.require(zeros.shape() == shape && zeros.dtype() == f.dtype, "zeros has another shape or element type");
            let clean = f.backend.download(&zeros)?.iter().all(|v| v.to_bits() == 0);
            f.require(clean, "zeros are not zero");

            let mut values = f.normal(shape.len());
            for (v, special) in values.iter_mut().zip([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-40]) {
                *v = special;
            }
            let values = f.rounded(values);
            let mut tensor = f.backend.zeros(shape, f.dtype)?;
            let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            let host = if f.dtype == DType::F32 { Values::F32(&narrow) } else { Values::F64(&values) };
            f.backend.upload(host, &mut tensor)?;
            let back = f.backend.download(&tensor)?;
            let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            f.require(back.len() == values.len(), "download has another length");
            f.require(back.iter().zip(&values).all(|(a, b)| same(a, b)), "upload and download change values");

            let mut other = f.backend.zeros(shape, f.dtype)?;
            f.backend.copy(&tensor, &mut other)?;
            let copied = f.backend.download(&other)?;
            f.require(copied.iter().zip(&values).all(|(a, b)| same(a, b)), "copy changes values");
            f.backend.fill(0.1, &mut other)?;
            let tenth = f.rounded(vec![0.1])[0];
            let filled = f.backend.download(&other)?.iter().all(|v| *v == tenth);
            f.require(filled, "fill does not give the value rounded to the element type");
            f.backend.write(&vec![0.1; shape.len()], &mut tensor)?;
            let written = f.backend.download(&tensor)?.iter().all(|v| *v == tenth);
            f.require(written, "write does not round to the element type");
            f.backend.synchronize()
        });
    }
    for extents in [&[3usize][..], &[5, 1], &[0, 3], &[3, 0], &[17, 33], &[785, 130], &[3, 5, 7], &[2, 3, 4, 20]] {
        f.case(format!("upload_samples {extents:?}"), |f| {
            let shape = Shape::new(extents)?;
            let batch = extents[extents.len() - 1];
            let values = f.normal(shape.len());
            let values = f.rounded(values);
            let mut tensor = f.backend.zeros(shape, f.dtype)?;
            let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            let rounded: Vec<f64> = narrow.iter().map(|&v| f64::from(v)).collect();
            for (host, values) in [(Values::F32(&narrow), &rounded), (Values::F64(&values), &values)] {
                f.backend.fill(f64::NAN, &mut tensor)?;
                f.backend.upload_samples(host, &|b| batch - 1 - b, &mut tensor)?;
                let features = shape.len() / batch.max(1);
                let got = f.backend.download(&tensor)?;
                let wrong = (0..got.len()).find(|&i| got[i] != values[(batch - 1 - i % batch) * features + i / batch]);
                f.require(got.len() == values.len() && wrong.is_none(), format!("element {wrong:?} is another's"));
            }
            Ok(())
        });
    }
    f.refused("upload_samples of half a sample", |f| {
        let mut t = f.backend.zeros(Shape::matrix(3, 2), f.dtype)?;
        match f.dtype {
            DType::F32 => f.backend.upload_samples(Values::F32(&[1.0; 7]), &|b| b, &mut t),
            DType::F64 => f.backend.upload_samples(Values::F64(&[1.0; 7]), &|b| b, &mut t),
        }
    });
    f.refused("upload of too few values", |f| {
        let mut t = f.backend.zeros(Shape::vector(3), f.dtype)?;
        match f.dtype {
            DType::F32 => f.backend.upload(Values::F32(&[1.0; 2]), &mut t),
            DType::F64 => f.backend.upload(Values::F64(&[1.0; 2]), &mut t),
        }
    });
    f.refused("upload of another element type", |f| {
        let mut t = f.backend.zeros(Shape::vector(2), f.dtype)?;
        match f.dtype {
            DType::F32 => f.backend.upload(Values::F64(&[1.0; 2]), &mut t),
            DType::F64 => f.backend.upload(Values::F32(&[1.0; 2]), &mut t),
        }
    });
    f.refused("copy into another shape", |f| {
        let (a, mut b) = (f.random(Shape::matrix(2, 3))?, f.random(Shape::matrix(3, 2))?);
        f.backend.copy(&a.device, &mut b.device)
    });
}
