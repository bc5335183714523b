//! What a model remembers, in a header.

use crate::header::HashRecord;
use crate::{Result, codec};
use serde::{Deserialize, Serialize};
use spectral_core::{ContentHash, HistoryEntry, Meta};
use std::borrow::Cow;

/// What a model remembers: its history, and everything else as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaRecord<'a> {
    #[serde(borrow)]
    history: Vec<HistoryRecord<'a>>,
    /// What is not the default, a JSON object.
    #[serde(borrow)]
    rest: Cow<'a, [u8]>,
}

/// One thing done to a model.
#[derive(Debug, Serialize, Deserialize)]
struct HistoryRecord<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    parent: HashRecord,
    /// Details, JSON.
    #[serde(borrow)]
    detail: Cow<'a, [u8]>,
}

impl MetaRecord<'_> {
    /// The record of `meta`, of a model with this content hash.
    pub(crate) fn new(meta: &Meta, hash: ContentHash) -> Result<Self> {
        let part = "meta data";
        // The history has records of its own. The alias of a model that this one was made from says nothing about it.
        let rest = Meta { history: Vec::new(), alias: meta.alias.filter(|a| a.hash == hash), ..meta.clone() };
        let mut rest: serde_json::Value = codec::from_json(part, &codec::to_json(part, &rest)?)?;
        let default: serde_json::Value = codec::from_json(part, &codec::to_json(part, &Meta::default())?)?;
        if let Some(rest) = rest.as_object_mut() {
            rest.retain(|key, value| default.get(key) != Some(value));
        }
        let record = |entry: &HistoryEntry| {
            Ok(HistoryRecord {
                action: entry.action.clone().into(),
                parent: HashRecord::new(entry.parent),
                detail: codec::to_json(part, &entry.detail)?.into(),
            })
        };
        let history = meta.history.iter().map(record).collect::<Result<_>>()?;
        Ok(Self { history, rest: codec::to_json(part, &rest)?.into() })
    }

    /// What the model remembers.
    pub(crate) fn read(&self) -> Result<Meta> {
        let mut meta: Meta = codec::from_json("meta data", &self.rest)?;
        let entry = |record: &HistoryRecord<'_>| {
            Ok(HistoryEntry {
                action: record.action.clone().into_owned(),
                parent: record.parent.read()?,
                detail: codec::from_json("the history", &record.detail)?,
            })
        };
        meta.history = self.history.iter().map(entry).collect::<Result<_>>()?;
        Ok(meta)
    }

    /// The hashes in it.
    pub(crate) fn hashes(&mut self) -> impl Iterator<Item = &mut HashRecord> {
        self.history.iter_mut().map(|entry| &mut entry.parent)
    }
}
