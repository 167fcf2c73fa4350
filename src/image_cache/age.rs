//! An age, as a person says it.

use std::time::Duration;

/// The largest unit that fits: `2 h`.
pub(super) fn shown(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let shown = [0, 59, 60, 7_260, 172_799, 172_800].map(|seconds| shown(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0 s", "59 s", "1 min", "2 h", "47 h", "2 days"]);
    }
}
