//! `--set key=value`.

use crate::{Failure, Result};
use toml::{Table, Value};

/// Levels that a key may lead down. Recipes have five; what is nested without end would overflow the stack.
const DEEPEST: usize = 32;

/// Applies one override; `key` may lead into tables and lists by dots: `network.layers.0.units=200`.
pub(super) fn apply(table: &mut Table, text: &str) -> Result<()> {
    let shown: String = text.chars().take(60).chain((text.chars().count() > 60).then_some('…')).collect();
    let bad = |problem: &str| Failure::input(format!("--set {shown}: {problem}"));
    let (key, value) = text.split_once('=').ok_or_else(|| bad("write key=value"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) || value.is_empty() {
        return Err(bad("write key=value"));
    }
    let mut path: Vec<&str> = key.split('.').collect();
    if path.len() > DEEPEST {
        return Err(bad(&format!("the key has {} levels, and no recipe has more than {DEEPEST}", path.len())));
    }
    let Some(last) = path.pop() else { return Err(bad("write key=value")) };
    let mut root = Value::Table(std::mem::take(table));
    let result = parse(value).and_then(|value| put(descend(&mut root, &path)?, last, value)).map_err(|p| bad(&p));
    if let Value::Table(back) = root {
        *table = back;
    }
    result
}

fn descend<'v>(mut at: &'v mut Value, path: &[&str]) -> Result<&'v mut Value, String> {
    for &step in path {
        at = match at {
            Value::Table(t) => t.entry(step).or_insert_with(|| Value::Table(Table::new())),
            Value::Array(a) => element(a, step)?,
            _ => return Err(format!("there is nothing inside what `{step}` is looked for in")),
        };
    }
    Ok(at)
}

fn put(at: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match at {
        Value::Table(t) => {
            t.insert(key.into(), value);
        }
        Value::Array(a) => *element(a, key)? = value,
        _ => return Err(format!("there is nothing inside what `{key}` is looked for in")),
    }
    Ok(())
}

fn element<'v>(list: &'v mut [Value], index: &str) -> Result<&'v mut Value, String> {
    let len = list.len();
    let found = index.parse::<usize>().ok().and_then(|i| list.get_mut(i));
    found.ok_or_else(|| format!("`{index}` is not an index below {len}"))
}

/// The value as TOML if it is TOML, else as a string, so that quotes can be left out. What begins like a list, a table
/// or a string must be one.
fn parse(text: &str) -> Result<Value, String> {
    let parsed: Option<Table> = format!("v = {text}").parse().ok();
    match parsed.and_then(|mut t| t.remove("v")) {
        Some(value) => Ok(value),
        None if text.starts_with(['[', '{', '"', '\'']) => {
            Err("the value is no TOML; write lists as [1, 2] and tables as { a = 1 }".into())
        }
        None => Ok(Value::String(text.into())),
    }
}
