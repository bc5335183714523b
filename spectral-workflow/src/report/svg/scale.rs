//! From values to coordinates, with ticks at nice numbers.

/// The largest magnitude that is drawn; beyond it, differences and products could overflow.
const LARGEST: f64 = 1e150;

/// A linear or logarithmic map from a range of values to a range of coordinates.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

impl Scale {
    /// Covers the finite ones of `values`; a range of no width is widened, no values at all give 0 to 1.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values.into_iter().filter(|v| v.abs() <= LARGEST));
        let (low, high) = match (low, high) {
            (l, h) if l > h => (0.0, 1.0),
            (l, h) if h - l > l.abs().max(h.abs()) * 1e-9 => (l, h),
            (0.0, _) => (0.0, 1.0),
            (l, h) => (l - l.abs() * 0.5, h + h.abs() * 0.5),
        };
        Self { low, high, from: 0.0, to: 1.0, log: false }
    }

    /// Covers the positive finite ones of `values` in whole powers of ten.
    pub(crate) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let powers = values.into_iter().filter(|v| *v > 0.0 && v.is_finite()).map(f64::log10);
        let (low, high) = match extent(powers) {
            (l, h) if l > h => (0.0, 1.0),
            (l, h) => (l.floor(), h.ceil().max(l.floor() + 1.0)),
        };
        Self { low, high, from: 0.0, to: 1.0, log: true }
    }

    /// Extends the range outwards to nice numbers.
    pub(crate) fn nice(mut self, ticks: usize) -> Self {
        if !self.log {
            let step = step(self.high - self.low, ticks);
            self.low = (self.low / step + 1e-9).floor() * step;
            self.high = (self.high / step - 1e-9).ceil() * step;
        }
        self
    }

    /// Cuts the range at bounds that values cannot pass.
    pub(crate) fn within(mut self, low: f64, high: f64) -> Self {
        if self.low.max(low) < self.high.min(high) {
            (self.low, self.high) = (self.low.max(low), self.high.min(high));
        }
        self
    }

    /// Where the range goes: the coordinates of its lower and upper end.
    pub(crate) fn onto(mut self, from: f64, to: f64) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// The coordinate of a value; values outside the range land on its ends.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let v = if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let share = ((v - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        if share.is_finite() { self.from + share * (self.to - self.from) } else { self.from }
    }

    /// The coordinate of the lower end.
    pub(crate) fn base(&self) -> f64 {
        self.from
    }

    /// About `count` ticks at nice numbers within the range.
    pub(crate) fn ticks(&self, count: usize) -> Vec<Tick> {
        if self.log {
            let (low, high) = (self.low as i32, self.high as i32);
            let every = ((high - low) as usize).div_ceil(count.max(1)).max(1);
            return (low..=high).step_by(every).map(|e| Tick { value: 10f64.powi(e), label: power_label(e) }).collect();
        }
        let step = step(self.high - self.low, count);
        let (first, last) = ((self.low / step - 1e-6).ceil(), (self.high / step + 1e-6).floor());
        // A range far from zero can be too narrow for its steps to differ in f64.
        if !(last - first).is_finite() || last - first > 1000.0 {
            return Vec::new();
        }
        let steps = (last - first) as usize;
        (0..=steps).map(|i| (first + i as f64) * step).map(|value| Tick { value, label: label(value, step) }).collect()
    }

    /// [`Scale::ticks`] at whole numbers only.
    pub(crate) fn whole_ticks(&self, count: usize) -> Vec<Tick> {
        self.ticks(count).into_iter().filter(|t| (t.value - t.value.round()).abs() < 1e-6).collect()
    }
}

/// Least and largest value; the other way round if there are none.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// The one of 1, 2 and 5 times a power of ten of which `span` holds closest to `count`, on a scale of ratios.
fn step(span: f64, count: usize) -> f64 {
    let raw = span / count.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = power
        * match raw / power {
            r if r < 2f64.sqrt() => 1.0,
            r if r < 10f64.sqrt() => 2.0,
            r if r < 50f64.sqrt() => 5.0,
            _ => 10.0,
        };
    if step.is_finite() && step > 0.0 { step } else { 1.0 }
}

fn label(value: f64, step: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".into();
    }
    let size = value.abs().max(step);
    if size >= 1e7 || step < 1e-5 {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    match size {
        s if s >= 1e4 && step >= 1000.0 => format!("{}k", (value / 1000.0).round()),
        _ => format!("{value:.decimals$}"),
    }
}

fn power_label(exponent: i32) -> String {
    match exponent {
        0..=2 => format!("{}", 10i32.pow(exponent as u32)),
        3..=5 => format!("{}k", 10i32.pow(exponent as u32 - 3)),
        -3..=-1 => format!("{:.*}", -exponent as usize, 10f64.powi(exponent)),
        e => format!("1e{e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, count: usize) -> String {
        scale.ticks(count).into_iter().map(|t| t.label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_nice_numbers() {
        let cases = [
            (Scale::linear([0.0, 1.0]), 5, "0.0 0.2 0.4 0.6 0.8 1.0"),
            (Scale::linear([0.0, 217.0]), 4, "0 50 100 150 200"),
            (Scale::linear([-0.31, 0.44]).nice(4), 4, "-0.4 -0.2 0 0.2 0.4 0.6"),
            (Scale::linear([88.1, 97.8]).nice(5), 5, "88 90 92 94 96 98"),
            (Scale::linear([0.0, 42_000.0]), 4, "0 10k 20k 30k 40k"),
            (Scale::linear([3.0, 3.0]), 3, "2 3 4"),
            (Scale::linear([f64::NAN]), 2, "0 0.5 1.0"),
            (Scale::logarithmic([3.0, 4200.0]), 5, "1 10 100 1k 10k"),
            (Scale::logarithmic([0.02]), 5, "0.01 0.1"),
        ];
        let got: Vec<_> =
            cases.iter().map(|(scale, n, want)| (labels(scale, *n), want.replace("0.0 ", "0 "))).collect();
        let wrong: Vec<_> = got.iter().filter(|(got, want)| got != want).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn values_land_between_the_ends() {
        let scale = Scale::linear([0.0, 10.0]).onto(100.0, 0.0);
        assert_eq!([0.0, 5.0, 10.0, 99.0, -1.0].map(|v| scale.at(v)), [100.0, 50.0, 0.0, 0.0, 100.0]);
        let scale = Scale::logarithmic([1.0, 100.0]).onto(0.0, 10.0);
        assert_eq!([1.0, 10.0, 100.0, 0.0].map(|v| scale.at(v)), [0.0, 5.0, 10.0, 0.0]);
        let extremes = [0.0, -0.0, 1e300, -1e300, f64::MIN_POSITIVE, f64::MAX, f64::NAN, f64::INFINITY, 1e-320];
        for a in extremes {
            for b in extremes {
                for scale in [Scale::linear([a, b]).nice(4), Scale::logarithmic([a, b])] {
                    let scale = scale.onto(3.0, 7.0);
                    for v in extremes {
                        assert!((3.0..=7.0).contains(&scale.at(v)), "{scale:?} at {v}");
                    }
                    assert!(scale.ticks(5).len() < 700, "{scale:?}");
                }
            }
        }
    }
}
