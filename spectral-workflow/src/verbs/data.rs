//! `data fetch SET`, `data list`, `data split SET`

use super::seeds;
use crate::context::Context;
use crate::output::{Answer, bytes, left_columns};
use crate::{Result, progress};
use spectral_data::{FetchOptions, FetchProgress, SplitFormat, State};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Download a set, resuming what is there, and verify its checksums
    Fetch {
        /// The set
        set: String,
        /// Address to download from instead of the known ones
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// The known sets and where they are
    List,
    /// Write which samples of a set are for training and which for testing
    Split {
        /// The set
        set: String,
        /// Folder to write train.csv and test.csv to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Seed of the split
        #[arg(long, value_parser = seeds())]
        seed: Option<u64>,
    },
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    match &options.what {
        What::Fetch { set, mirror } => fetch(cx, set, mirror.as_deref()),
        What::List => list(cx),
        What::Split { set, out, seed } => split(cx, set, out, *seed),
    }
}

fn fetch(cx: &Context, set: &str, mirror: Option<&str>) -> Result<Answer> {
    let folder = cx.data_options().folder().unwrap_or_else(|| PathBuf::from("data"));
    let bar = progress::counter("fetch");
    let report = |at: &FetchProgress<'_>| {
        bar.set_length(at.total);
        bar.set_position(at.done);
    };
    let options = FetchOptions { dir: folder.clone(), mirror: mirror.map(Into::into), progress: Some(&report) };
    let fetched = spectral_data::fetch(set, &options);
    bar.finish_and_clear();
    let fetched = fetched?;
    let bytes_of: u64 = fetched.files.iter().map(|f| f.bytes).sum();
    let files: Vec<String> = fetched.files.iter().map(|f| f.path.display().to_string()).collect();
    let text = format!(
        "{set}: {} files, {}, checksums right, in {}; use it with --data-dir {}",
        files.len(),
        bytes(bytes_of),
        fetched.folder.display(),
        folder.display()
    );
    Ok(Answer { text, json: serde_json::json!({ "set": set, "files": files, "data_dir": folder }) })
}

fn list(cx: &Context) -> Result<Answer> {
    let sets = spectral_data::list(&cx.data_options())?;
    let rows = sets.iter().map(|s| {
        let e = s.entry;
        vec![e.name.into(), e.features.to_string(), e.classes.to_string(), place(&s.state), e.summary.into()]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let json: Vec<serde_json::Value> = sets
        .iter()
        .map(|s| {
            let e = s.entry;
            let state = place(&s.state);
            serde_json::json!({ "name": e.name, "features": e.features, "classes": e.classes, "state": state })
        })
        .collect();
    Answer::new(left_columns(&["set", "features", "classes", "where", "what"], &rows), &json)
}

fn place(state: &State) -> String {
    match state {
        State::Embedded => "part of the program".into(),
        State::Found(folder) => folder.display().to_string(),
        State::Missing(files) => format!("missing {}", files.join(", ")),
    }
}

fn split(cx: &Context, set: &str, out: &Path, seed: Option<u64>) -> Result<Answer> {
    let data = cx.dataset(set, seed)?;
    let files = spectral_data::write_split(&data, out, SplitFormat::Csv)?;
    let shown: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    Ok(Answer { text: format!("wrote {}", shown.join(" and ")), json: serde_json::json!({ "files": shown }) })
}
