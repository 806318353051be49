//! The posts that are published, and what they must add up to.

use std::collections::BTreeMap;

/// The countries of the posts. The other codes are free for probes.
const COUNTRIES: [&str; 20] = [
    "AR", "BO", "BR", "CL", "CO", "CR", "CU", "DO", "EC", "ES", "GT", "HN", "MX", "NI", "PA", "PE",
    "PY", "SV", "UY", "VE",
];

/// The values of `weather` that `examples/weather` accepts.
const WEATHER: [&str; 7] = ["clear", "cloudy", "fog", "rain", "snow", "storm", "wind"];

/// A post about the weather.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its id, under which it is published again if there was no acknowledgement.
    pub id: String,
    /// The key of its record: posts of a country are in one partition.
    pub country: String,
    weather: &'static str,
}

impl Post {
    /// The post with this number: the same in every run.
    pub fn numbered(number: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(number);
        Self {
            id: format!("post-{number}"),
            country: random.choice(COUNTRIES).unwrap_or_default().into(),
            weather: random.choice(WEATHER).unwrap_or_default(),
        }
    }

    /// Posts of countries that no other post has.
    pub fn probes() -> impl Iterator<Item = Self> {
        let codes = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| format!("{a}{b}")));
        codes.filter(|code| !COUNTRIES.contains(&&**code)).map(|country| Self {
            id: format!("probe-{country}"),
            country,
            weather: "clear",
        })
    }

    /// The body of a request.
    pub fn json(&self) -> String {
        let Self { id, country, weather } = self;
        format!(
            r#"{{"description":"The weather of {id}.","country":"{country}","weather":"{weather}"}}"#
        )
    }
}

/// Counts of posts: all, by country and by weather.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    /// Counts the posts one after the other.
    pub fn of(posts: impl IntoIterator<Item = Post>) -> Self {
        let mut counts = Self::default();
        for Post { country, weather, .. } in posts {
            for name in
                ["posts".into(), format!("countries/{country}"), format!("weather/{weather}")]
            {
                *counts.0.entry(name).or_default() += 1;
            }
        }
        counts
    }

    /// How many posts these counts have less, and how many they have more, than the expected ones.
    /// Each post is in three counts, so this is the largest difference of a group of them.
    pub fn lost_and_doubled(&self, expected: &Self) -> (u64, u64) {
        let groups = ["posts", "countries/", "weather/"];
        let sum = |more: &Self, less: &Self| {
            let of_group = |group| {
                let counts = more.0.iter().filter(move |(name, _)| name.starts_with(group));
                let surplus = |(name, count): (&String, &u64)| {
                    count.saturating_sub(less.0.get(name).copied().unwrap_or(0))
                };
                counts.map(surplus).sum()
            };
            groups.map(of_group).into_iter().max().unwrap_or(0)
        };
        (sum(expected, self), sum(self, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_doubled_is_found_also_if_the_totals_agree() {
        let posts = || (0..100).map(Post::numbered);
        let expected = Counts::of(posts());
        assert_eq!(Counts::of(posts()).lost_and_doubled(&expected), (0, 0));
        assert_eq!(Counts::of(posts().skip(1)).lost_and_doubled(&expected), (1, 0));
        assert_eq!(Counts::of(posts().chain(posts().take(2))).lost_and_doubled(&expected), (0, 2));
        let other = Post::probes().next().unwrap();
        let swapped = posts().skip(1).chain([other]);
        assert_eq!(Counts::of(swapped).lost_and_doubled(&expected), (1, 1));
        assert_eq!(Post::probes().count(), 26 * 26 - COUNTRIES.len());
    }
}
