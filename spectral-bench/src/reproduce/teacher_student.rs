//! T1: a spectral student finds the width of its teacher, a direct one does not.

use super::lab::Lab;
use super::{Check, Outcome, Published, mean_and_deviation, median, range, spread};
use crate::Result;
use ndarray::Array2;
use spectral_core::{
    Activation, BackendHandle, Evaluate, Flow, Init, Model, ParamId, Penalty, Plan, Progress, Samples, Seed, Session,
    Table, Targets, TrainHook, Trainable, Word,
};
use spectral_layers::{Dense, Factors, Network, Spectral, WeightPenalties};
use spectral_train::{Adam, Evaluator, Loss, Sgd, Trainer};

pub(super) const PUBLISHED: Published = Published {
    id: "T1",
    title: "Teacher and student: L2 on eigenvalues and basis finds the teacher's width of 20, L2 on weights does not",
    source: "Giambagli, Buffoni, Chicchi, Fanelli, How a student becomes a teacher, NeurIPS 2023 (arXiv 2310.12612)",
    options: &[],
    arms: &[],
    run,
};

/// Widths of the teacher's hidden layers and of the student's second.
const TEACHER: [usize; 2] = [20, 20];
const INPUTS: usize = 10;
const SAMPLES: usize = 10_000;

/// Penalties on the base and on the eigenvalues of the first layer, on the sum of squares.
const BASE: f64 = 0.01;
const EIGENVALUE: f64 = 5e-4;

/// A unit survives if its strength is at least this share of the largest.
const SURVIVES: f64 = 0.05;

/// How the student's first layer is made and kept small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    /// Basis and eigenvalues train, both under L2.
    Spectral,
    /// The same layer with its eigenvalues frozen at one: a dense layer under L2.
    Direct,
    /// Weights under the penalty that the two L2 terms amount to, `2 sqrt(r_base r_lambda) sum_units ||w||`, by a
    /// proximal step after every optimiser step.
    GroupLasso,
}

impl Arm {
    const ALL: [Self; 3] = [Self::Spectral, Self::Direct, Self::GroupLasso];

    fn name(self) -> &'static str {
        match self {
            Self::Spectral => "spectral, L2",
            Self::Direct => "direct, L2",
            Self::GroupLasso => "direct, group lasso",
        }
    }

    /// Learning rate and batch: Adam as published; the group lasso by plain gradient descent, because the step that
    /// shrinks minimises the penalty only where the other step is `rate` times the gradient.
    fn training(self) -> (f64, usize) {
        match self {
            Self::Spectral => (0.005, 300),
            Self::Direct => (0.002, 500),
            Self::GroupLasso => (0.05, 300),
        }
    }

    /// Survivors that were published or, for the group lasso, measured elsewhere; test error likewise.
    fn published(self, units: usize) -> &'static str {
        match (self, units) {
            (Self::Spectral, 20) => "20, 20",
            (Self::Spectral, 40) => "25, 25",
            (Self::Spectral, 100) => "20, 21 (claim: 20)",
            (Self::Direct, 20) => "20, 20",
            (Self::Direct, 40) => "40, 40",
            (Self::Direct, 100) => "100, 99",
            (Self::GroupLasso, 100) => "21",
            _ => "-",
        }
    }
}

/// One student.
#[derive(Debug, Clone, Copy)]
struct Job {
    arm: Arm,
    units: usize,
    seed: Seed,
    epochs: usize,
}

/// What became of it.
struct Student {
    job: Job,
    survivors: usize,
    zeros: usize,
    test_error: f64,
}

fn run(lab: &Lab<'_>) -> Result<Outcome> {
    let epochs = lab.size(lab.scale.epochs, 2_000, 200);
    let seeds = lab.seeds(5, 2);
    let widths: &[usize] = if lab.scale.quick { &[20, 100] } else { &[20, 40, 100] };
    let mut jobs = Vec::new();
    // The widest first, so that no worker is left with a long job at the end.
    for &units in widths.iter().rev() {
        for arm in Arm::ALL {
            jobs.extend(seeds.iter().map(|&seed| Job { arm, units, seed, epochs }));
        }
    }
    let students = lab.side_by_side("students", &jobs, train)?;
    let setting = vec![
        format!(
            "teacher {INPUTS}-{}-{}-1, student {INPUTS}-n-{}-1, relu, no bias, last layer ones",
            TEACHER[0], TEACHER[1], TEACHER[1]
        ),
        format!("{SAMPLES} training and {SAMPLES} test samples from N(0, I), {epochs} epochs, {}", range(&seeds)),
        "spectral: Adam 0.005, batch 300; direct, L2: Adam 0.002, batch 500; group lasso: descent 0.05, batch 300"
            .into(),
        "the width of the teacher's second layer is not published; 20 is assumed".into(),
    ];
    Ok(Outcome { setting, tables: vec![summary(&students, widths), single_runs(&students)], checks: checks(&students) })
}

fn of(students: &[Student], arm: Arm, units: usize) -> impl Iterator<Item = &Student> {
    students.iter().filter(move |s| s.job.arm == arm && s.job.units == units)
}

fn survivors(students: &[Student], arm: Arm, units: usize) -> Vec<f64> {
    of(students, arm, units).map(|s| s.survivors as f64).collect()
}

fn summary(students: &[Student], widths: &[usize]) -> Table {
    let columns = ["student units n", "arm", "survivors, median", "survivors", "published or measured before"];
    let columns = columns.into_iter().chain(["exactly zero, mean", "test error (MSE)"]);
    let mut table = Table::new("Surviving units of a student whose teacher has 20", columns);
    for arm in Arm::ALL {
        for &units in widths {
            let counts = survivors(students, arm, units);
            let all: Vec<String> = counts.iter().map(ToString::to_string).collect();
            let zeros: Vec<f64> = of(students, arm, units).map(|s| s.zeros as f64).collect();
            let errors: Vec<f64> = of(students, arm, units).map(|s| s.test_error).collect();
            table.push([
                units.into(),
                arm.name().into(),
                median(&counts).into(),
                all.join(" ").into(),
                arm.published(units).into(),
                mean_and_deviation(&zeros).0.into(),
                spread(&errors, 4).into(),
            ]);
        }
    }
    table.plot = Some(spectral_core::Plot { x: 0, y: vec![2], by: Some(1) });
    table
}

fn single_runs(students: &[Student]) -> Table {
    let mut table = Table::new("Every run", ["arm", "n", "seed", "survivors", "exactly zero", "test error (MSE)"]);
    for Student { job, survivors, zeros, test_error } in students {
        let seed = job.seed.0 as usize;
        table.push([
            job.arm.name().into(),
            job.units.into(),
            seed.into(),
            (*survivors).into(),
            (*zeros).into(),
            (*test_error).into(),
        ]);
    }
    table
}

fn checks(students: &[Student]) -> Vec<Check> {
    let spectral = median(&survivors(students, Arm::Spectral, 100));
    let direct = survivors(students, Arm::Direct, 100).into_iter().fold(f64::INFINITY, f64::min);
    vec![
        Check::between("spectral survivors at n = 100, median", spectral, (18.0, 25.0), ""),
        Check::at_least("direct survivors at n = 100, least", direct, 91.0, ""),
    ]
}

/// Trains one student and counts what is left of its first layer.
fn train(backend: &BackendHandle, job: &Job) -> Result<Student> {
    let (train, test) = data(backend, job.seed)?;
    let mut model = student(backend, job)?;
    let (rate, batch) = job.arm.training();
    let trainer = match job.arm {
        Arm::GroupLasso => Trainer::new(Sgd { rate }),
        _ => Trainer::new(Adam { rate, epsilon: 1e-7, ..Adam::default() }),
    };
    let trainer = trainer.epochs(job.epochs).batch(batch).loss(Loss::MeanSquaredError).seed(job.seed);
    let weight = model.params().by_name("hidden.weight");
    match (job.arm, weight) {
        (Arm::GroupLasso, Some(weight)) => {
            let mut shrink = GroupLasso { weight, step: rate * 2.0 * (BASE * EIGENVALUE).sqrt() };
            trainer.fit_with(&mut model, &train, &mut [&mut shrink])?;
        }
        _ => {
            trainer.fit(&mut model, &train)?;
        }
    }
    let norms = norms(&model)?;
    let largest = norms.iter().copied().fold(0.0, f64::max);
    Ok(Student {
        job: *job,
        survivors: norms.iter().filter(|n| **n >= SURVIVES * largest).count(),
        zeros: norms.iter().filter(|n| **n == 0.0).count(),
        test_error: Evaluator::new(Loss::MeanSquaredError).evaluate(&model, &test)?.loss,
    })
}

/// Training and test samples that the teacher labelled. The teacher is the same for every seed, as published.
fn data(backend: &BackendHandle, seed: Seed) -> Result<(Samples, Samples)> {
    let plain = |units, activation| Dense { bias: false, ..Dense::new(units, activation) };
    let teacher = Network::new(INPUTS)
        .layer(plain(TEACHER[0], Activation::Relu))
        .layer(plain(TEACHER[1], Activation::Relu))
        .layer(Dense { init: Init::Ones, ..plain(1, Activation::Identity) })
        .build(backend, Seed(0))?;
    let mut session = Session::new(&teacher, &Plan::default())?;
    let mut draw = |name: &str, index| -> Result<Samples> {
        let mut stream = seed.stream("teacher-student", index);
        let inputs = Array2::from_shape_simple_fn((SAMPLES, INPUTS), || stream.normal() as f32);
        let outputs = session.run(inputs.view())?;
        Ok(Samples::new(name, inputs, Targets::Values(outputs))?)
    };
    Ok((draw("train", 0)?, draw("test", 1)?))
}

fn student(backend: &BackendHandle, job: &Job) -> Result<Model> {
    let l2 = |l2| Penalty { l1: 0.0, l2 };
    let spectral = Spectral {
        bias: false,
        trainable: Factors { lambda_out: job.arm == Arm::Spectral, ..Factors::<bool>::default() },
        penalties: Factors { basis: l2(BASE), lambda_out: l2(EIGENVALUE), ..Factors::<Penalty>::default() },
        ..Spectral::new(job.units, Activation::Relu)
    };
    let dense = Dense { bias: false, penalties: WeightPenalties::default(), ..Dense::new(job.units, Activation::Relu) };
    let network = Network::new(INPUTS);
    let network = match job.arm {
        Arm::Spectral | Arm::Direct => network.layer_named("hidden", spectral),
        Arm::GroupLasso => network.layer_named("hidden", dense),
    };
    let mut model = network
        .layer(Dense { bias: false, ..Dense::new(TEACHER[1], Activation::Relu) })
        .layer_named("ones", Dense { bias: false, init: Init::Ones, ..Dense::new(1, Activation::Identity) })
        .build(backend, job.seed)?;
    if let Some(ones) = model.params().by_name("ones.weight") {
        model.params_mut().0.set_trainable(ones, Trainable::None)?;
    }
    Ok(model)
}

/// `|lambda_i| ||phi_i||` of every unit: the norm of the weights it multiplies its inputs with.
fn norms(model: &Model) -> Result<Vec<f64>> {
    let Word::Affine(affine) = model.graph().nodes()[0].layer.op().word else { return Ok(Vec::new()) };
    let operands = model.operands(0)?;
    let matrix = operands.matrix(affine.weight)?;
    let (columns, weights) = (matrix.columns(), matrix.to_dense(&**model.backend())?);
    Ok(weights.chunks(columns).map(|row| row.iter().map(|w| w * w).sum::<f64>().sqrt()).collect())
}

/// `w_i <- w_i max(0, 1 - step / ||w_i||)` on the weights of every unit: the proximal step of the group lasso.
struct GroupLasso {
    weight: ParamId,
    step: f64,
}

impl TrainHook for GroupLasso {
    fn after_step(&mut self, model: &mut Model, _: &Progress) -> spectral_core::Result<Flow> {
        let (params, backend) = model.params_mut();
        params.edit(backend, self.weight, |tensor| {
            let mut values = backend.download(tensor)?;
            for row in values.chunks_mut(tensor.shape().columns()) {
                let norm = row.iter().map(|w| w * w).sum::<f64>().sqrt();
                let factor = if norm > self.step { 1.0 - self.step / norm } else { 0.0 };
                row.iter_mut().for_each(|w| *w *= factor);
            }
            backend.write(&values, tensor)
        })?;
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Reference;
    use std::sync::Arc;

    fn job(arm: Arm) -> Job {
        Job { arm, units: 6, seed: Seed(1), epochs: 1 }
    }

    #[test]
    fn the_proximal_step_shrinks_every_group_and_zeroes_small_ones() {
        let backend: BackendHandle = Arc::new(Reference);
        let mut model = student(&backend, &job(Arm::GroupLasso)).unwrap();
        let weight = model.params().by_name("hidden.weight").unwrap();
        let before = norms(&model).unwrap();
        let mut sorted = before.clone();
        sorted.sort_by(f64::total_cmp);
        let step = (sorted[1] + sorted[2]) / 2.0;
        let at = Progress { step: 1, steps: 1, epoch: 0, epochs: 1 };
        GroupLasso { weight, step }.after_step(&mut model, &at).unwrap();
        for (old, new) in before.iter().zip(norms(&model).unwrap()) {
            assert!((new - (old - step).max(0.0)).abs() < 1e-6, "{old} -> {new}");
        }
        assert_eq!(norms(&model).unwrap().iter().filter(|n| **n == 0.0).count(), 2);
    }

    #[test]
    fn arms_differ_in_what_trains() {
        let backend: BackendHandle = Arc::new(Reference);
        let second = 6 * TEACHER[1];
        for (arm, entries) in [(Arm::Spectral, 6 * INPUTS + 6), (Arm::Direct, 6 * INPUTS), (Arm::GroupLasso, 60)] {
            let model = student(&backend, &job(arm)).unwrap();
            assert_eq!(super::super::lab::trainable(&model), entries + second, "{arm:?}");
        }
    }
}
