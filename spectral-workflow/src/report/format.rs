//! Numbers as people read them.

/// `v` with `digits` significant digits and no exponent; `-` if it is not a number.
pub(crate) fn significant(v: f64, digits: i32) -> String {
    if !v.is_finite() {
        return "-".into();
    }
    if v == 0.0 {
        return "0".into();
    }
    // Rounding can carry into the next power of ten (9.96 -> 10.0), so the magnitude is that of the rounded value.
    let magnitude = |v: f64| v.abs().log10().floor() as i32;
    let unit = 10f64.powi(digits - 1 - magnitude(v));
    let rounded = if unit.is_finite() && unit > 0.0 { (v * unit).round() / unit } else { v };
    format!("{rounded:.*}", (digits - 1 - magnitude(rounded)).clamp(0, 12) as usize)
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Factor and name of the unit to show values up to `max` in.
pub(crate) fn unit(max: f64, units: [(f64, &'static str); 4]) -> (f64, &'static str) {
    units.into_iter().rev().find(|(factor, _)| max >= *factor).unwrap_or(units[0])
}

/// Decimal byte units.
pub(crate) const BYTES: [(f64, &str); 4] = [(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")];

/// Units of time for values in microseconds.
pub(crate) const MICROS: [(f64, &str); 4] = [(1e-3, "ns"), (1.0, "µs"), (1e3, "ms"), (1e6, "s")];

/// Bytes in decimal units, three significant digits.
pub fn bytes(n: u64) -> String {
    if n < 1000 {
        return format!("{n} B");
    }
    let (factor, name) = unit(n as f64, BYTES);
    format!("{} {name}", significant(n as f64 / factor, 3))
}

/// Microseconds in the unit that suits, three significant digits.
pub(crate) fn micros(us: f64) -> String {
    if !us.is_finite() || us <= 0.0 {
        return "-".into();
    }
    let (factor, name) = unit(us, MICROS);
    format!("{} {name}", significant(us / factor, 3))
}

/// Wall-clock seconds.
pub fn seconds(s: f64) -> String {
    match s {
        s if !s.is_finite() || s < 0.0 => "-".into(),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

/// A share from 0 to 1 as per cent.
pub(crate) fn percent(share: f64, decimals: usize) -> String {
    if share.is_finite() { format!("{:.decimals$} %", share * 100.0) } else { "-".into() }
}

/// `v` with at most that many decimals, and no zeros at the end; `-` if it is not a number.
pub(crate) fn trimmed(v: f64, decimals: usize) -> String {
    if !v.is_finite() {
        return "-".into();
    }
    let text = format!("{v:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

/// New over old, without the `x`.
pub(crate) fn ratio(r: f64) -> String {
    match r {
        r if !r.is_finite() => "-".into(),
        r if r < 0.1 => significant(r, 2),
        r => format!("{r:.2}"),
    }
}

/// How many times faster a time ratio is, without the `x`.
pub(crate) fn speedup(time_ratio: f64) -> String {
    match 1.0 / time_ratio {
        s if !s.is_finite() => "-".into(),
        s if s < 1.1 => format!("{s:.2}"),
        s if s < 10.0 => format!("{s:.1}"),
        s => format!("{s:.0}"),
    }
}

/// A small number, in scientific notation unless zero.
pub(crate) fn tiny(v: f64) -> String {
    match v {
        v if !v.is_finite() => "not finite".into(),
        0.0 => "0".into(),
        v => {
            let text = format!("{v:.1e}");
            text.replace(".0e", "e")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases: [(String, &str); 31] = [
            (trimmed(2.0, 2), "2"),
            (trimmed(-0.001, 2), "0"),
            (trimmed(12.5, 2), "12.5"),
            (trimmed(f64::NAN, 2), "-"),
            (speedup(0.97), "1.03"),
            (significant(9.996, 3), "10.0"),
            (significant(0.001_234, 2), "0.0012"),
            (significant(-12345.0, 3), "-12300"),
            (significant(f64::MIN_POSITIVE, 3), "0.000000000000"),
            (significant(f64::NAN, 3), "-"),
            (count(0), "0"),
            (count(999), "999"),
            (count(54_010), "54,010"),
            (count(1_234_567), "1,234,567"),
            (bytes(999), "999 B"),
            (bytes(1_048_000), "1.05 MB"),
            (bytes(143_210), "143 kB"),
            (micros(0.85), "850 ns"),
            (micros(41.26), "41.3 µs"),
            (micros(1240.0), "1.24 ms"),
            (micros(0.0), "-"),
            (seconds(38.4), "38 s"),
            (seconds(200.0), "3 min 20 s"),
            (percent(0.975, 1), "97.5 %"),
            (ratio(0.1234), "0.12"),
            (ratio(0.0123), "0.012"),
            (speedup(0.32), "3.1"),
            (speedup(0.0), "-"),
            (tiny(3.12e-7), "3.1e-7"),
            (tiny(1e-5), "1e-5"),
            (tiny(f64::INFINITY), "not finite"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(got, want)| got != want).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
