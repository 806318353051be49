//! Measures how the figures grow with connections, partitions, lag and products.

use anyhow::Result;

use crate::accept;
use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::drain::{self, drain};
use crate::fill::{Backlog, fill};
use crate::load::Load;
use crate::results::{Case, Column, Design, Sample};
use crate::store::used_memory_mib;

/// Growth with connections.
pub const CONNECTIONS: Design = Design {
    name: "growth-connections",
    title: "the request path with more connections",
    x_axis: Some("connections"),
    ..accept::DESIGN
};

/// Growth with partitions.
pub const PARTITION_COUNTS: Design = Design {
    name: "growth-partitions",
    title: "from Kafka to Valkey with more partitions",
    x_axis: Some("partitions"),
    ..drain::DESIGN
};

/// Growth with lag.
pub const LAGS: Design = Design {
    name: "growth-lag",
    title: "from Kafka to Valkey with more lag",
    x_axis: Some("sales that wait"),
    ..drain::DESIGN
};

/// Growth with products.
pub const PRODUCTS: Design = Design {
    name: "growth-products",
    title: "from Kafka to Valkey with more products",
    x_axis: Some("products"),
    columns: &[
        Column::with_ratio("records_per_s", "sales/s"),
        Column::with_ratio("records_per_cpu_s", "sales per CPU s of consumer and Valkey"),
        Column::new("contender_cpu_s", "CPU s of the consumer"),
        Column::new("valkey_cpu_s", "CPU s of Valkey"),
        Column::new("memory_mib", "memory, MiB"),
        Column::new("valkey_memory_mib", "memory of Valkey's data, MiB"),
    ],
    ..drain::DESIGN
};

/// The contenders of all of these.
const CONTENDERS: [Contender; 3] = Contender::SINGLE;

/// All turns with connections. Each number has its own process, because memory that was needed for
/// many connections is not always returned.
pub async fn connections(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    bench
        .rounds(CONNECTIONS.name, &CONTENDERS, async |contender, round| {
            let mut samples = Vec::new();
            for &connections in &bench.args.growth_connections {
                bench.empty_valkey().await?;
                let deployment = contender.start(Part::Accept, names, &bench.servers).await?;
                let load = Load::closed(deployment.address()?, connections, bench.args.seconds);
                let figures = bench.load(&deployment, load).await?;
                deployment.stop().await?;
                let case = Case::number(connections, "connections");
                samples.push(Sample { round, contender: contender.to_string(), case, figures });
            }
            Ok(samples)
        })
        .await
}

/// All turns with partitions.
pub async fn partitions(bench: &Bench) -> Result<Vec<Sample>> {
    let mut points = Vec::new();
    for &partitions in &bench.args.growth_partitions {
        let backlog = Backlog { sales: bench.args.sales, ..Backlog::default() };
        let case = Case::number(partitions, "partitions");
        points.push(Point::fill(bench, case, partitions, backlog).await?);
    }
    drains(bench, PARTITION_COUNTS.name, &points).await
}

/// All turns with lag.
pub async fn lags(bench: &Bench) -> Result<Vec<Sample>> {
    let mut points = Vec::new();
    for &sales in &bench.args.growth_lags {
        let backlog = Backlog { sales, ..Backlog::default() };
        let case = Case::number(sales as f64, "sales");
        points.push(Point::fill(bench, case, PARTITIONS, backlog).await?);
    }
    drains(bench, LAGS.name, &points).await
}

/// All turns with products.
pub async fn products(bench: &Bench) -> Result<Vec<Sample>> {
    let mut points = Vec::new();
    for &products in &bench.args.growth_products {
        let sales = bench.args.sales.max(products.into());
        let backlog = Backlog { sales, products, ..Backlog::default() };
        let case = Case::number(products, "products");
        points.push(Point::fill(bench, case, PARTITIONS, backlog).await?);
    }
    drains(bench, PRODUCTS.name, &points).await
}

/// A topic with a backlog.
struct Point {
    case: Case,
    topic: String,
    sales: u64,
}

impl Point {
    async fn fill(bench: &Bench, case: Case, partitions: i32, backlog: Backlog) -> Result<Self> {
        let topic = bench.topic(partitions).await?;
        fill(&bench.servers.brokers(), &topic, backlog, |_| {}).await?;
        Ok(Self { case, topic, sales: backlog.sales })
    }
}

async fn drains(bench: &Bench, name: &str, points: &[Point]) -> Result<Vec<Sample>> {
    bench
        .rounds(name, &CONTENDERS, async |contender, round| {
            let mut samples = Vec::new();
            for Point { case, topic, sales } in points {
                let mut figures = drain(bench, contender, round, topic, *sales).await?;
                let memory = used_memory_mib(&mut bench.valkey().await?).await?;
                figures.insert("valkey_memory_mib".into(), memory);
                let (contender, case) = (contender.to_string(), case.clone());
                samples.push(Sample { round, contender, case, figures });
            }
            Ok(samples)
        })
        .await
}
