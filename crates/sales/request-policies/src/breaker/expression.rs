//! The condition under which a circuit opens, in the language of Traefik.

use std::ops::Range;

use super::counts::Counts;

/// Maximum length of an expression.
const TEXT_BYTES_MAX: usize = 1_000;

/// Maximum depth of parentheses.
const DEPTH_MAX: u32 = 8;

/// A condition on the counts of requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Any of them is true.
    Any(Vec<Self>),
    /// All of them are true.
    All(Vec<Self>),
    /// A figure, compared with a number.
    Comparison(Figure, Operator, f64),
}

/// A figure of the requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// `NetworkErrorRatio()`.
    NetworkErrorRatio,
    /// `ResponseCodeRatio(from, to, dividedByFrom, dividedByTo)`; the ends are not included.
    ResponseCodeRatio(Range<u16>, Range<u16>),
    /// `LatencyAtQuantileMS(quantile)`, in percent.
    LatencyAtQuantileMs(f64),
}

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operator {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It has more than 1,000 bytes.
    #[error("must not be longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// It has too many parentheses in each other.
    #[error("must not have more than {DEPTH_MAX} levels of parentheses")]
    TooDeep,
    /// Something else was expected.
    #[error("is not valid: expected {expected} at byte {position}")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// Where, from 0.
        position: usize,
    },
}

impl Expression {
    /// Reads an expression: comparisons with `&&`, `||` and parentheses.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ExpressionError::TooLong);
        }
        let mut parser = Parser { text, position: 0, depth: 0 };
        let expression = parser.any()?;
        parser.skip_space();
        if parser.rest().is_empty() { Ok(expression) } else { Err(parser.error("`&&` or `||`")) }
    }

    /// Whether it is true for these requests.
    pub(super) fn is_true(&self, counts: &Counts) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.is_true(counts)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.is_true(counts)),
            Self::Comparison(figure, operator, number) => {
                let value = match figure {
                    Figure::NetworkErrorRatio => counts.network_error_ratio(),
                    Figure::ResponseCodeRatio(range, by) => counts.status_ratio(range, by),
                    Figure::LatencyAtQuantileMs(percent) => counts.latency_ms(*percent),
                };
                operator.is_true(value, *number)
            }
        }
    }
}

impl Operator {
    const ALL: [(&str, Self); 6] = [
        (">=", Self::GreaterOrEqual),
        ("<=", Self::LessOrEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        (">", Self::Greater),
        ("<", Self::Less),
    ];

    fn is_true(self, value: f64, number: f64) -> bool {
        let is_equal = (value - number).abs() < f64::EPSILON;
        match self {
            Self::Greater => value > number,
            Self::GreaterOrEqual => value >= number,
            Self::Less => value < number,
            Self::LessOrEqual => value <= number,
            Self::Equal => is_equal,
            Self::NotEqual => !is_equal,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn error(&self, expected: &'static str) -> ExpressionError {
        ExpressionError::Unexpected { expected, position: self.position }
    }

    /// Skips this text, if it follows.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let follows = self.rest().starts_with(token);
        if follows {
            self.position += token.len();
        }
        follows
    }

    fn expect(&mut self, token: &'static str) -> Result<(), ExpressionError> {
        if self.take(token) { Ok(()) } else { Err(self.error(token)) }
    }

    fn any(&mut self) -> Result<Expression, ExpressionError> {
        let mut conditions = vec![self.all()?];
        while self.take("||") {
            conditions.push(self.all()?);
        }
        Ok(Expression::Any(conditions))
    }

    fn all(&mut self) -> Result<Expression, ExpressionError> {
        let mut conditions = vec![self.condition()?];
        while self.take("&&") {
            conditions.push(self.condition()?);
        }
        Ok(Expression::All(conditions))
    }

    fn condition(&mut self) -> Result<Expression, ExpressionError> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(ExpressionError::TooDeep);
            }
            let inner = self.any()?;
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        let figure = self.figure()?;
        let operator = Operator::ALL.into_iter().find(|(token, _)| self.take(token));
        let (_, operator) = operator.ok_or_else(|| self.error("a comparison"))?;
        Ok(Expression::Comparison(figure, operator, self.number()?))
    }

    fn figure(&mut self) -> Result<Figure, ExpressionError> {
        let figure = if self.take("NetworkErrorRatio") {
            self.expect("(")?;
            Figure::NetworkErrorRatio
        } else if self.take("LatencyAtQuantileMS") {
            self.expect("(")?;
            self.skip_space();
            let position = self.position;
            let percent = self.number()?;
            if !(0.0..=100.0).contains(&percent) {
                let expected = "a quantile from 0 to 100";
                return Err(ExpressionError::Unexpected { expected, position });
            }
            Figure::LatencyAtQuantileMs(percent)
        } else if self.take("ResponseCodeRatio") {
            self.expect("(")?;
            let range = self.range()?;
            self.expect(",")?;
            Figure::ResponseCodeRatio(range, self.range()?)
        } else {
            return Err(
                self.error("`NetworkErrorRatio`, `ResponseCodeRatio` or `LatencyAtQuantileMS`")
            );
        };
        self.expect(")")?;
        Ok(figure)
    }

    fn range(&mut self) -> Result<Range<u16>, ExpressionError> {
        let from = self.status()?;
        self.expect(",")?;
        let to = self.status()?;
        if from < to { Ok(from..to) } else { Err(self.error("a range of statuses")) }
    }

    fn status(&mut self) -> Result<u16, ExpressionError> {
        let position = self.position;
        let number = self.number()?;
        if (0.0..=1_000.0).contains(&number) && number.fract() == 0.0 {
            return Ok(number as u16);
        }
        Err(ExpressionError::Unexpected { expected: "a status", position })
    }

    fn number(&mut self) -> Result<f64, ExpressionError> {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let digits = rest.get(..end).unwrap_or_default();
        let number = digits.parse().map_err(|_| self.error("a number"))?;
        self.position += end;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::counts::Sample;
    use super::*;

    fn is_true(text: &str, requests: &[(u16, u64)]) -> bool {
        let mut counts = Counts::default();
        for (status, ms) in requests {
            let latency = Duration::from_millis(*ms);
            counts.add(&Sample { status: *status, latency });
        }
        Expression::parse(text).unwrap().is_true(&counts)
    }

    #[test]
    fn expressions_of_traefik_are_read() {
        let slow = [(200, 5), (200, 300), (200, 300)];
        assert!(is_true("LatencyAtQuantileMS(50.0) > 100", &slow));
        assert!(!is_true("LatencyAtQuantileMS(20.0) > 100", &slow));
        let half = [(200, 1), (500, 1), (504, 1), (502, 1)];
        assert!(is_true("NetworkErrorRatio() >= 0.50", &half));
        assert!(!is_true("NetworkErrorRatio() > 0.50", &half));
        assert!(is_true("ResponseCodeRatio(500, 600, 0, 600) > 0.6", &half));
        assert!(!is_true("ResponseCodeRatio(500,501,0,600)>0.5", &half));
        let both = "NetworkErrorRatio() > 0.4 && LatencyAtQuantileMS(50) > 100";
        assert!(!is_true(both, &half));
        assert!(is_true(&both.replace("&&", "||"), &half));
        // `&&` binds more strongly than `||`.
        let (yes, no) = ("NetworkErrorRatio() > 0.4", "NetworkErrorRatio() < 0.4");
        assert!(is_true(&format!("{yes} || {no} && {no}"), &half));
        assert!(!is_true(&format!("({yes} || {no}) && {no}"), &half));
        assert!(is_true("NetworkErrorRatio() == 0.5", &half));
        assert!(!is_true("NetworkErrorRatio() != 0.5", &half));
        assert!(is_true("NetworkErrorRatio() <= 0.5", &half));
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, expected) in [
            ("", "expected `NetworkErrorRatio`"),
            ("Latency() > 1", "at byte 0"),
            ("NetworkErrorRatio() 0.5", "expected a comparison at byte 20"),
            ("NetworkErrorRatio() > x", "expected a number at byte 22"),
            ("NetworkErrorRatio() > 1.2.3", "expected a number"),
            ("NetworkErrorRatio() > 1 or", "expected `&&` or `||` at byte 24"),
            ("LatencyAtQuantileMS(101) > 1", "expected a quantile from 0 to 100 at byte 20"),
            ("ResponseCodeRatio(500, 400, 0, 600) > 1", "expected a range"),
            ("ResponseCodeRatio(5.5, 600, 0, 600) > 1", "expected a status"),
            ("(NetworkErrorRatio() > 1", "expected )"),
            (&"(".repeat(9), "8 levels"),
            (&" ".repeat(1_001), "1000 bytes"),
        ] {
            let error = Expression::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    fn comparison() -> impl Strategy<Value = Expression> {
        let range = (0u16..1_000).prop_flat_map(|from| (Just(from), from + 1..=1_000));
        let range = range.prop_map(|(from, to)| from..to);
        let percent = (0u32..=1_000).prop_map(|number| f64::from(number) / 10.0);
        let figure = prop_oneof![
            Just(Figure::NetworkErrorRatio),
            percent.prop_map(Figure::LatencyAtQuantileMs),
            (range.clone(), range).prop_map(|(range, by)| Figure::ResponseCodeRatio(range, by)),
        ];
        let operator = prop::sample::select(Operator::ALL.map(|(_, operator)| operator).to_vec());
        (figure, operator, 0f64..1_000.0)
            .prop_map(|(figure, operator, number)| Expression::Comparison(figure, operator, number))
    }

    /// An expression as the parser builds it: alternatives of conjunctions.
    fn expression() -> impl Strategy<Value = Expression> {
        let alternatives = |condition: BoxedStrategy<Expression>| {
            let all = prop::collection::vec(condition, 1..3).prop_map(Expression::All);
            prop::collection::vec(all, 1..3).prop_map(Expression::Any).boxed()
        };
        let outer = alternatives(comparison().boxed());
        let middle = alternatives(prop_oneof![comparison(), outer].boxed());
        alternatives(prop_oneof![comparison(), middle].boxed())
    }

    fn write(expression: &Expression, tokens: &mut Vec<String>) {
        let list = |conditions: &[Expression], operator: &str, all: &mut Vec<String>| {
            for (index, condition) in conditions.iter().enumerate() {
                if index > 0 {
                    all.push(operator.into());
                }
                let is_nested = matches!(condition, Expression::Any(_));
                all.extend(is_nested.then(|| "(".into()));
                write(condition, all);
                all.extend(is_nested.then(|| ")".into()));
            }
        };
        match expression {
            Expression::Any(conditions) => list(conditions, "||", tokens),
            Expression::All(conditions) => list(conditions, "&&", tokens),
            Expression::Comparison(figure, operator, number) => {
                let (name, arguments) = match figure {
                    Figure::NetworkErrorRatio => ("NetworkErrorRatio", Vec::new()),
                    Figure::LatencyAtQuantileMs(percent) => {
                        ("LatencyAtQuantileMS", vec![percent.to_string()])
                    }
                    Figure::ResponseCodeRatio(range, by) => {
                        let ends = [range.start, range.end, by.start, by.end];
                        ("ResponseCodeRatio", ends.iter().map(u16::to_string).collect())
                    }
                };
                tokens.extend([name.into(), "(".into()]);
                for (index, argument) in arguments.into_iter().enumerate() {
                    tokens.extend((index > 0).then(|| ",".into()));
                    tokens.push(argument);
                }
                let known = Operator::ALL.into_iter().find(|(_, known)| known == operator);
                tokens.extend([")".into(), known.unwrap().0.into(), number.to_string()]);
            }
        }
    }

    proptest! {
        /// What is written is read again; a changed text is read or refused, without a panic.
        #[test]
        fn expressions_are_read_as_they_are_written(
            expression in expression(), spaces in any::<bool>(),
            place in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        ) {
            let mut all = Vec::new();
            write(&expression, &mut all);
            let text = all.join(if spaces { " " } else { "" });
            if text.len() <= TEXT_BYTES_MAX {
                prop_assert_eq!(Expression::parse(&text), Ok(expression));
            }
            let (place, other) = (place.index(all.len()), other.index(all.len()));
            all.swap(place, other);
            drop(Expression::parse(&all.join(" ")));
            all.remove(place);
            drop(Expression::parse(&all.join(" ")));
        }
    }
}
