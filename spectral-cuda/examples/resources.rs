//! Prints what every kernel takes of a multiprocessor, as Markdown: `resources PTXAS`, with the path of the assembler
//! that comes with the Python wheel nvidia-cuda-nvcc. Ends with 1 if a kernel keeps registers in memory.

use spectral_core::{DType, Error, Result};
use spectral_cuda::{Source, compile};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Registers and bytes of shared memory, of stack and of spilled registers.
type Use = [String; 4];

fn main() -> ExitCode {
    let Some(ptxas) = std::env::args().nth(1) else {
        eprintln!("usage: resources PTXAS");
        return ExitCode::from(2);
    };
    match table(Path::new(&ptxas)) {
        Ok(spills) => ExitCode::from(u8::from(spills)),
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}

/// Prints the table; whether a kernel spills.
fn table(ptxas: &Path) -> Result<bool> {
    println!(
        "| kernel | type | sm_80: registers | shared | stack | spilled | sm_90: registers | shared | stack | spilled |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut spills = false;
    for source in Source::ALL {
        for dtype in [DType::F32, DType::F64] {
            let (older, newer) = (assembled(ptxas, source, dtype, "80")?, assembled(ptxas, source, dtype, "90")?);
            for (name, of_older) in older {
                let of_newer = newer.get(&name).cloned().unwrap_or_default();
                let cells: Vec<String> = of_older.into_iter().chain(of_newer).collect();
                spills |= cells[3] != "0" || cells[7] != "0";
                println!("| {}/{name} | {dtype} | {} |", source.name(), cells.join(" | "));
            }
        }
    }
    Ok(spills)
}

/// What the assembler says of each kernel of a file.
fn assembled(ptxas: &Path, source: Source, dtype: DType, number: &str) -> Result<BTreeMap<String, Use>> {
    let failed = |e: std::io::Error| Error::Backend { backend: "cuda".into(), problem: format!("{ptxas:?}: {e}") };
    let file = std::env::temp_dir().join(format!("{}-{dtype}-{number}-{}.ptx", source.name(), std::process::id()));
    std::fs::write(&file, compile(source, dtype, &format!("compute_{number}"))?).map_err(failed)?;
    let arch = format!("-arch=sm_{number}");
    let run = Command::new(ptxas).args(["-v", &arch, "-o", "/dev/null"]).arg(&file).output();
    let said = String::from_utf8_lossy(&run.map_err(failed)?.stderr).into_owned();
    std::fs::remove_file(&file).map_err(failed)?;
    let mut found = BTreeMap::new();
    let mut name = String::new();
    for line in said.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            name = rest.split('\'').next().unwrap_or_default().into();
        }
        let entry: &mut Use = found.entry(name.clone()).or_default();
        if line.contains("spill stores") {
            (entry[2], entry[3]) = (before(line, " bytes stack frame"), before(line, " bytes spill stores"));
        }
        if line.contains("Used ") {
            (entry[0], entry[1]) = (before(line, " registers"), before(line, " bytes smem"));
        }
    }
    found.remove("");
    Ok(found)
}

/// The number in front of some words, 0 where they are not there.
fn before(line: &str, words: &str) -> String {
    let number = line.find(words).and_then(|end| line[..end].split([' ', ',']).next_back());
    number.unwrap_or("0").into()
}
