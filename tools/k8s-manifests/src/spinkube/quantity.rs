//! Parses Kubernetes quantities, as far as they are used for memory and CPU.

/// The quantity in its base unit, bytes or CPUs; None if the text is not a quantity.
pub fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 9] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("m", 1e-3),
        ("", 1.0),
    ];
    let (number, unit) =
        UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, value) in [("64Mi", 67_108_864.0), ("100m", 0.1), ("2", 2.0), ("1k", 1000.0)] {
            assert_eq!(quantity(text), Some(value), "{text}");
        }
        for text in ["", "Mi", "-1", "1MB", "much"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
