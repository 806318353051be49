use super::*;

const PERIOD: Period = Period { start: 1, end: 5 };

fn converted(text: &str) -> Vec<Metric> {
    let resource = Resource { attributes: attributes([("a", "b")]), ..Resource::default() };
    let request = request(text, resource.clone(), PERIOD).unwrap();
    let [of_resource] = request.resource_metrics.try_into().unwrap();
    assert_eq!(of_resource.resource, Some(resource));
    let [of_scope] = of_resource.scope_metrics.try_into().unwrap();
    assert_eq!(of_scope.scope.unwrap().name, "doorbuster");
    of_scope.metrics
}

#[test]
fn a_counter_is_a_monotonic_cumulative_sum() {
    let text = "# HELP requests Answered.\n# TYPE requests counter\n\
                requests_total{component=\"one\",code=\"200\"} 3\nrequests_created 7\n\
                requests_total{component=\"two \\\"2\\\"\",code=\"503\"} 4 # {id=\"x\"} 1\n";
    let [metric] = converted(text).try_into().unwrap();
    assert_eq!((&*metric.name, &*metric.unit), ("requests_total", ""));
    assert_eq!(metric.description, "Answered.");
    let Some(Data::Sum(sum)) = metric.data else { panic!("{metric:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    let point = |labels: [(&'static str, &'static str); 2], value| NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: 1,
        time_unix_nano: 5,
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let expected = [
        point([("component", "one"), ("code", "200")], 3.0),
        point([("component", "two \"2\""), ("code", "503")], 4.0),
    ];
    assert_eq!(sum.data_points, expected);
}

#[test]
fn a_gauge_has_no_start() {
    let text = "# TYPE age_seconds gauge\n# UNIT age_seconds seconds\nage_seconds 2.5\n\
                # TYPE odd unknown\nodd -1\nalone +Inf\n";
    let [age, odd, alone] = converted(text).try_into().unwrap();
    assert_eq!((&*age.name, &*age.unit), ("age_seconds", "s"));
    for (metric, value) in [(age, 2.5), (odd, -1.0), (alone, f64::INFINITY)] {
        let Some(Data::Gauge(gauge)) = metric.data else { panic!("{metric:?}") };
        let [point] = gauge.data_points.try_into().unwrap();
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, 5));
        assert_eq!(point.value, Some(Number::AsDouble(value)));
    }
}

#[test]
fn each_bucket_of_a_histogram_has_its_own_observations() {
    let text = "# TYPE time_seconds histogram\n# UNIT time_seconds seconds\n\
        time_seconds_sum{component=\"one\"} 7.5\ntime_seconds_count{component=\"one\"} 6\n\
        time_seconds_bucket{le=\"0.5\",component=\"one\"} 1\n\
        time_seconds_bucket{le=\"1.0\",component=\"one\"} 1\n\
        time_seconds_bucket{le=\"2.0\",component=\"one\"} 4\n\
        time_seconds_bucket{le=\"+Inf\",component=\"one\"} 6\n\
        time_seconds_sum{component=\"two\"} 0.0\ntime_seconds_count{component=\"two\"} 0\n\
        time_seconds_bucket{le=\"+Inf\",component=\"two\"} 0\n";
    let [metric] = converted(text).try_into().unwrap();
    assert_eq!((&*metric.name, &*metric.unit), ("time_seconds", "s"));
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("{metric:?}") };
    assert_eq!(histogram.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    let [one, two] = histogram.data_points.try_into().unwrap();
    let expected = HistogramDataPoint {
        attributes: attributes([("component", "one")]),
        start_time_unix_nano: 1,
        time_unix_nano: 5,
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 0, 3, 2],
        explicit_bounds: vec![0.5, 1.0, 2.0],
        ..HistogramDataPoint::default()
    };
    assert_eq!(one, expected);
    assert_eq!((two.count, two.bucket_counts, two.explicit_bounds), (0, vec![0], vec![]));
    assert_eq!(two.attributes, attributes([("component", "two")]));
}

#[test]
fn the_count_is_the_sum_of_the_buckets() {
    // Values that were read while one was added.
    let text = "# TYPE a histogram\na_sum 1\na_count 3\na_bucket{le=\"1\"} 2\n\
                a_bucket{le=\"2\"} 4\na_bucket{le=\"+Inf\"} 4\n";
    let [metric] = converted(text).try_into().unwrap();
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("{metric:?}") };
    let [point] = histogram.data_points.try_into().unwrap();
    assert_eq!((point.count, point.bucket_counts), (4, vec![2, 2, 0]));
}

#[test]
fn a_line_that_is_no_sample_is_an_error() {
    let fault = request("up\n", Resource::default(), PERIOD).unwrap_err();
    assert_eq!(fault, NotASample { line: 1 });
}
