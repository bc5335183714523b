//! Measures Rust crates: the same orders as `rivals.py`, for sparse products only.

use faer::sparse::{SparseColMat, Triplet};
use ndarray::{Array2, ArrayView2};
use std::io::{BufRead, Read, Write};
use std::time::Instant;

/// Does the work; on request, the mean absolute value of what it gave.
type Run = Box<dyn FnMut(bool) -> f64>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut variants: Vec<(String, Run)> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer: Vec<String> = match words[..] {
            ["version"] => vec!["sprs 0.11, faer 0.23".into()],
            // Both crates multiply on one thread.
            ["make", "matmul", _, path] => {
                variants = matmul(path)?;
                variants.iter_mut().map(|(name, run)| format!("{name}={}", run(true))).collect()
            }
            ["time", name, seconds] => {
                let seconds: f64 = seconds.parse()?;
                let run = variants.iter_mut().find(|(n, _)| n == name).ok_or("no such variant")?;
                times(&mut run.1, seconds).iter().map(ToString::to_string).collect()
            }
            _ => return Err(format!("unknown order: {line}").into()),
        };
        println!("{}", answer.join("\t"));
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn times(run: &mut Run, seconds: f64) -> Vec<f64> {
    let once = Instant::now();
    run(false);
    let inner = (2e-4 / once.elapsed().as_secs_f64().max(1e-7)).max(1.0) as u32;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        for _ in 0..inner {
            std::hint::black_box(run(false));
        }
        times.push(1e3 * begin.elapsed().as_secs_f64() / f64::from(inner));
    }
    times
}

/// Every crate's product with the matrix in the file; `rivals.py` says what is in it.
fn matmul(path: &str) -> Result<Vec<(String, Run)>, Box<dyn std::error::Error>> {
    let mut file = std::fs::File::open(path)?;
    let mut words = |n: usize, width: usize| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; n * width];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let head: Vec<usize> =
        words(4, 8)?.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()) as usize).collect();
    let [rows, columns, nonzeros, batch] = head[..] else { return Err("no header".into()) };
    let mut ints = |n: usize| -> std::io::Result<Vec<u32>> {
        Ok(words(n, 4)?.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let (starts, indices) = (ints(rows + 1)?, ints(nonzeros)?);
    let mut floats = |n: usize| -> std::io::Result<Vec<f32>> { Ok(ints(n)?.into_iter().map(f32::from_bits).collect()) };
    let (values, x) = (floats(nonzeros)?, floats(columns * batch)?);

    let mut triplets = Vec::with_capacity(nonzeros);
    for row in 0..rows {
        for k in starts[row] as usize..starts[row + 1] as usize {
            triplets.push(Triplet::new(row as u32, indices[k], values[k]));
        }
    }
    let weight = SparseColMat::<u32, f32>::try_new_from_triplets(rows, columns, &triplets).map_err(|_| "faer refuses")?;
    let dense = faer::Mat::from_fn(columns, batch, |r, c| x[r * batch + c]);
    let faer: Run = Box::new(move |check| {
        let y = &weight * &dense;
        let sum = |c: usize| y.col(c).iter().map(|v| f64::from(v.abs())).sum::<f64>();
        if check { (0..batch).map(sum).sum::<f64>() / (rows * batch) as f64 } else { f64::from(y[(0, 0)]) }
    });

    let weight = sprs::CsMatI::<f32, u32>::new((rows, columns), starts, indices, values);
    let mut y = Array2::<f32>::zeros((rows, batch));
    let sprs: Run = Box::new(move |check| {
        y.fill(0.0);
        let Ok(x) = ArrayView2::from_shape((columns, batch), &x) else { return f64::NAN };
        sprs::prod::csr_mulacc_dense_rowmaj(weight.view(), x, y.view_mut());
        if check { y.iter().map(|v| f64::from(v.abs())).sum::<f64>() / (rows * batch) as f64 } else { 0.0 }
    });
    Ok(vec![("faer".into(), faer), ("sprs".into(), sprs)])
}
