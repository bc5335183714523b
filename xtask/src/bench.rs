//! The verbs of spectral-bench, which most people never ask for. Without the feature `bench` only their names are here:
//! asking for one builds this program again with the feature and goes on.

use spectral_workflow::Extra;

#[cfg(feature = "bench")]
pub(crate) fn verbs() -> Vec<Extra> {
    spectral_bench::verbs()
}

#[cfg(not(feature = "bench"))]
pub(crate) fn verbs() -> Vec<Extra> {
    names().into()
}

/// The names, with what help says about each.
#[cfg(any(test, not(feature = "bench")))]
fn names() -> [Extra; 3] {
    let named = |name, about| {
        // Whatever follows, `--help` too, is for the program with the feature.
        let rest = clap::Arg::new("options").num_args(0..).allow_hyphen_values(true).trailing_var_arg(true);
        let command = clap::Command::new(name).about(about).disable_help_flag(true).arg(rest);
        Extra::new(command, |cx, _| Err(cx.rebuild_with("bench")))
    };
    [
        named("reproduce", "Repeat a published result and put it beside ours"),
        named("bench", "Benchmarks, side by side with what people use otherwise"),
        named(
            "bench",
            "A Python environment with PyTorch, SciPy, MKL and ONNX Runtime in .venv, for `bench --against torch`",
        )
        .under("setup"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_verbs() {
        let said = |verbs: &[Extra]| verbs.iter().map(Extra::summary).collect::<Vec<_>>();
        assert_eq!(said(&names()), said(&spectral_bench::verbs()));
    }
}
