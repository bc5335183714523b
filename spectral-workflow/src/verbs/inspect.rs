//! `inspect MODEL`

use crate::Result;
use crate::output::{Answer, bytes, columns, left_columns};
use spectral_core::Source;
use spectral_io::{Inspection, NodeInfo, TensorReport};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file
    model: PathBuf,
}

/// Reads the header only, so that models with layers of plug-ins that are not linked can be looked at.
pub(crate) fn run(options: &Options) -> Result<Answer> {
    let file = spectral_io::read_header(&options.model)?;
    let nodes: Vec<Vec<String>> = file.nodes.iter().map(|n| node_row(&file, n)).collect();
    let tensors: Vec<Vec<String>> = file.tensors.iter().map(tensor_row).collect();
    let text = format!(
        "{}: format {}, {} input values, {}, content {}\n\n{}\n\n{}",
        options.model.display(),
        file.version,
        file.input.len(),
        bytes(file.bytes),
        file.hash,
        left_columns(&["node", "kind", "inputs", "settings"], &nodes),
        columns(&["tensor", "shape", "encoding", "bytes", "of dense", "sparsity"], &tensors),
    );
    Ok(Answer { text, json: json(&file) })
}

fn node_row(file: &Inspection, node: &NodeInfo) -> Vec<String> {
    let source = |s: &Source| match s {
        Source::Input => "input".to_string(),
        Source::Node(n) => file.nodes.get(*n).map_or_else(|| n.to_string(), |n| n.name.clone()),
    };
    let inputs: Vec<String> = node.inputs.iter().map(source).collect();
    let kind = if node.known { node.kind.clone() } else { format!("{} (not linked)", node.kind) };
    vec![node.name.clone(), kind, inputs.join(","), node.config.to_string()]
}

fn tensor_row(tensor: &TensorReport) -> Vec<String> {
    vec![
        tensor.name.clone(),
        tensor.shape.to_string(),
        tensor.encoding.to_string(),
        bytes(tensor.bytes),
        format!("{:.3}x", tensor.bytes as f64 / tensor.dense_bytes.max(1) as f64),
        format!("{:.1} %", 100.0 * sparsity(tensor)),
    ]
}

fn sparsity(tensor: &TensorReport) -> f64 {
    1.0 - tensor.stored as f64 / tensor.shape.len().max(1) as f64
}

fn json(file: &Inspection) -> serde_json::Value {
    let nodes = file.nodes.iter().map(|n| {
        serde_json::json!({ "name": n.name, "kind": n.kind, "known": n.known, "inputs": n.inputs, "config": n.config })
    });
    let tensors = file.tensors.iter().map(|t| {
        serde_json::json!({
            "name": t.name, "role": t.role, "dtype": t.dtype, "shape": t.shape, "encoding": t.encoding.to_string(),
            "stored": t.stored, "bytes": t.bytes, "dense_bytes": t.dense_bytes, "sparsity": sparsity(t),
        })
    });
    serde_json::json!({
        "version": file.version, "bytes": file.bytes, "content": file.hash, "input": file.input,
        "nodes": nodes.collect::<Vec<_>>(), "tensors": tensors.collect::<Vec<_>>(), "meta": file.meta,
    })
}
