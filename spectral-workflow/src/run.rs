//! The main job: train -> prune -> fine-tune -> compact -> sparsify -> prove -> save -> report.

mod ahead;
mod details;
mod folder;
mod follow;
pub(crate) mod phases;
mod quality;
mod speed;
pub(crate) mod strategies;
mod verdict;
pub(crate) mod warnings;

pub(crate) use verdict::difference_found;

use crate::context::Context;
use crate::files::write;
use crate::progress::during;
use crate::recipe::{Planned, Recipe};
use crate::report::{self, Curve, Report, Stage};
use crate::stage::{self, measure};
use crate::{Failure, Result, machine};
use folder::Folder;
use phases::Sets;
use spectral_core::{History, Model, Named, Proof, Samples, Seed, TrainHook, prove};
use spectral_prune::{GradualPruning, PruneConfig, PruneReport, Schedule};
use spectral_sparse::Policy;
use spectral_train::{DistanceTracker, TrainConfig};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a run is asked for.
pub(crate) struct Job<'a> {
    pub(crate) recipe: Recipe,
    pub(crate) out: PathBuf,
    pub(crate) plan: Option<&'a Path>,
}

/// What a run works with, checked.
struct Work<'a> {
    recipe: &'a Recipe,
    folder: &'a Folder,
    policy: Policy,
    strategies: Vec<Planned>,
    /// What it trains on, and what it holds out for all of its phases.
    sets: Sets,
    /// What it judges by.
    test: Samples,
    /// What follows classes through training phases, if anything does.
    tracker: Option<DistanceTracker>,
}

/// The models a run makes, and what is known about them.
struct Models {
    dense: Model,
    finetuned: Model,
    compact: Model,
    sparse: Model,
}

/// Runs the whole job and writes its results. A broken link of the chain is in the report's verdict, not an error.
///
/// Whatever can be wrong with the request is found before any training, and the results of an earlier run are not
/// touched before those of this one are complete.
pub(crate) fn run(cx: &Context, job: &Job<'_>) -> Result<Report> {
    let started = Instant::now();
    let recipe = &job.recipe;
    let policy = phases::policy(cx, job.plan)?;
    for phase in [Some(&recipe.train), recipe.finetune.as_ref()].into_iter().flatten() {
        phase.build(Seed(recipe.seed))?;
    }
    recipe.prune.iter().try_for_each(PruneConfig::check)?;
    let strategies = recipe.strategies()?;
    let data = cx.dataset_as(&recipe.data.origin())?;
    let mut model = phases::build(cx, recipe, &data)?;
    let untested = warnings::of_classes(&data);
    let sets = Sets::of(&mut model, data.train, recipe.held_out(), recipe.seed)?;
    let counts = report::Dataset { name: data.origin.name.clone(), train: sets.train.len(), test: data.test.len() };
    ahead::check(recipe, &model, &sets)?;
    let tracker = follow::tracker(recipe, &sets.train)?;
    let machine = machine::describe(cx)?;
    let mut report = Report::new(&recipe.name, recipe.seed, counts, machine);
    report.recipe_text = Some(recipe.resolved()?);
    report.warnings.extend(untested);

    let folder = Folder::open(&job.out)?;
    let work = Work { recipe, folder: &folder, policy, strategies, sets, test: data.test, tracker };
    let models = make(&work, model, &mut report)?;
    judge(&work, &models, &mut report)?;
    report.seconds = Some(started.elapsed().as_secs_f64());
    save_all(&folder, &models, &mut report)?;
    folder.publish()?;
    Ok(report)
}

/// Proves, measures and compares.
fn judge(work: &Work<'_>, models: &Models, report: &mut Report) -> Result<()> {
    let Work { recipe, test, .. } = work;
    report.proof = during("prove", || prove_all(recipe, models, test))?;
    let times = during("measure", || {
        measure_latencies(models, &mut report.stages)?;
        speed::compare(&models.dense, &models.sparse)
    })?;
    let stage = |name: &str| report.stage(name).cloned().unwrap_or_default();
    let (dense, tuned) = (stage("dense"), stage("finetuned"));
    let as_good = quality::compare(recipe, (&models.dense, &dense), (&models.finetuned, &tuned), test)?;
    let layers = spectral_prune::layers_between(&models.dense, &models.finetuned);
    report.warnings.extend(warnings::of_layers(&layers));
    report.warnings.extend(warnings::of_quality(&as_good));
    report.verdict = verdict::judge(&report.stages, &report.proof, speed::judge(times), as_good);
    Ok(())
}

/// Trains, prunes and shrinks.
fn make(work: &Work<'_>, mut model: Model, report: &mut Report) -> Result<Models> {
    let Work { recipe, sets, test, .. } = work;
    train(work, &recipe.train, "train", &mut model, &mut [], report)?;
    let dense = model.duplicate()?;
    report.stages.push(measure("dense", &dense, test)?);
    report.sweep = during("sweep", || details::sweep(recipe, &dense, (&sets.train, test)))?;

    strategies::run(work, &mut model, report)?;
    prune_and_finetune(work, &mut model, report)?;
    let finetuned = model;
    report.stages.push(measure("finetuned", &finetuned, test)?);
    report.spectra = details::spectra(&dense, &finetuned)?;
    report.weights = details::weights(&dense, &finetuned)?;

    let compact = spectral_prune::compact(&finetuned)?.model;
    report.stages.push(measure("compact", &compact, test)?);
    let sparse = spectral_sparse::sparsify(&compact, &work.policy)?;
    report.stages.push(measure("sparse", &sparse.model, test)?);
    report.layers = details::layers(&sparse.model)?;
    Ok(Models { dense, finetuned, compact, sparse: sparse.model })
}

/// Every pruning step of the recipe, each followed by fine-tuning; the first adds the stage `pruned`.
fn prune_and_finetune(work: &Work<'_>, model: &mut Model, report: &mut Report) -> Result<()> {
    let Work { recipe, sets, test, .. } = work;
    for config in &recipe.prune {
        // A gradual schedule is one step, inside training.
        let rounds = match config.schedule {
            Schedule::Gradual(_) => vec![None],
            _ => config.rounds()?.into_iter().map(Some).collect(),
        };
        for round in rounds {
            keep_for_undo(work, model, report)?;
            let step = report.pruning.len() + 1;
            let done = match round {
                Some(prune) => prune.seed(Seed(recipe.seed)).apply(model, &sets.train)?,
                None => prune_gradually(work, config, model, report)?,
            };
            report.pruning.push(details::pruning_row(step, &done));
            if step == 1 {
                report.stages.push(measure("pruned", model, test)?);
            }
            if let Some(finetune) = &recipe.finetune {
                train(work, finetune, &format!("finetune {step}"), model, &mut [], report)?;
            }
        }
    }
    if recipe.prune.is_empty() {
        report.stages.push(measure("pruned", model, test)?);
        // What strategies pruned is fine-tuned like any other cut.
        if let (Some(finetune), false) = (&recipe.finetune, recipe.strategy.is_empty()) {
            train(work, finetune, "finetune", model, &mut [], report)?;
        }
    }
    Ok(())
}

/// Prunes little by little inside a training phase of its own, as long as [finetune].
fn prune_gradually(
    work: &Work<'_>,
    config: &PruneConfig,
    model: &mut Model,
    report: &mut Report,
) -> Result<PruneReport> {
    let Work { recipe, sets, .. } = work;
    let phase = recipe.gradual_phase();
    let mut hook = GradualPruning::from_config(config.clone(), Some(sets.train.clone()))?.seed(Seed(recipe.seed));
    train(work, phase, "gradual", model, &mut [&mut hook], report)?;
    let nothing = || Failure::input("prune: as much as `amount` was pruned already; raise it or leave the step out");
    hook.report().cloned().ok_or_else(nothing)
}

/// Saves the model that the next strategy or pruning step starts from, where no stage's file will hold it.
fn keep_for_undo(work: &Work<'_>, model: &Model, report: &Report) -> Result<()> {
    let step = report.strategies.len() + report.pruning.len() + 1;
    if step > 1 {
        spectral_io::save(work.folder.path(&folder::before_step(step)), model)?;
    }
    Ok(())
}

/// One training phase, with its curve in the report.
fn train(
    work: &Work<'_>,
    config: &TrainConfig,
    phase: &str,
    model: &mut Model,
    hooks: &mut [&mut dyn TrainHook],
    report: &mut Report,
) -> Result<()> {
    // Every phase shuffles differently.
    let seed = work.recipe.seed.wrapping_add(report.curves.len() as u64);
    let how = phases::Phase { name: phase, config, seed, sparse: work.recipe.sparse_training };
    let fit = |model: &mut Model, hooks: &mut [&mut dyn TrainHook]| phases::train(model, &work.sets, &how, hooks);
    let (history, layers) = follow::tracked(work.tracker.as_ref(), phase, model, hooks, &mut report.tables, fit)?;
    let History { epochs, best_epoch, .. } = history;
    report.curves.push(Curve { phase: phase.into(), epochs, best_epoch, layers });
    Ok(())
}

/// finetuned = compact = sparse.
fn prove_all(recipe: &Recipe, models: &Models, test: &Samples) -> Result<Vec<Proof>> {
    let others = [Named { name: "compact", model: &models.compact }, Named { name: "sparse", model: &models.sparse }];
    let first = Named { name: "finetuned", model: &models.finetuned };
    Ok(prove(first, &others, Some(test), recipe.prove.tolerance)?)
}

/// Times all stages in turn, several rounds, so that a slow moment of the machine hits all of them.
fn measure_latencies(models: &Models, stages: &mut [Stage]) -> Result<()> {
    const ROUNDS: usize = 3;
    let timed = [&models.dense, &models.finetuned, &models.compact, &models.sparse];
    // The pruned model has the shape of the fine-tuned one, and so its latency.
    let index_of = |name: &str| match name {
        "dense" => 0,
        "compact" => 2,
        "sparse" => 3,
        _ => 1,
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(timed.iter().map(|m| stage::latencies(m)).collect::<Result<Vec<_>>>()?);
    }
    for stage in stages {
        let mut all: Vec<_> = rounds.iter().map(|r| r[index_of(&stage.name)].clone()).collect();
        for (batch, first) in all.remove(0) {
            let mut times = vec![first];
            times.extend(all.iter().filter_map(|r| r.get(&batch).copied()));
            times.sort_by(|a, b| a.p50.total_cmp(&b.p50));
            stage.latency_us.insert(batch, times[times.len() / 2]);
        }
    }
    Ok(())
}

/// Writes models and reports. An artefact whose link failed is not written.
fn save_all(folder: &Folder, models: &Models, report: &mut Report) -> Result<()> {
    let may_write = |stage| verdict::may_write(&report.stages, &report.proof, stage);
    let wanted = [
        ("dense", &models.dense, true),
        ("pruned", &models.finetuned, true),
        ("compact", &models.compact, may_write("compact")),
        ("sparse", &models.sparse, may_write("sparse")),
    ];
    for (name, model, _) in wanted.into_iter().filter(|(.., allowed)| *allowed) {
        let file = spectral_io::save(folder.path(&format!("{name}.spectral")), model)?;
        report.files.push(details::file_table(name, &file));
    }
    write(&folder.path("recipe.toml"), report.recipe_text.as_deref().unwrap_or_default())?;
    let json = report.to_json().map_err(|e| Failure::Check(format!("cannot write the report: {e}")))?;
    write(&folder.path("report.json"), &json)?;
    write(&folder.path("report.html"), &report::html::render(report))
}

/// What a failed verdict says on standard error, if it failed.
pub(crate) fn failed(report: &Report) -> Option<String> {
    let why = verdict::failure(report)?;
    Some(if report.pruning.is_empty() && report.strategies.is_empty() {
        format!("the recipe prunes nothing: {why}")
    } else {
        why
    })
}
