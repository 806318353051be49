//! The applications of Spin's templates in Spin and in `doorbuster up`.

use anyhow::{Result, ensure};
use http::Method;
use pipeline_tests::Templates;
use test_servers::Kafka;

use crate::hosts::{self, Application, Case, Version};
use crate::spin::Spin;

pub async fn compare(spin: &Spin, kafka: &Kafka) -> Result<()> {
    let templates = Templates::start().await?;
    let manifest = templates.manifest();
    let app = Application { name: "templates", manifest: &manifest, variables: &[], profile: None };
    hosts::compare(spin, kafka, &app, async |client, answers| {
        for version in Version::ALL {
            for (path, status, body) in Templates::requests() {
                let case = Case::new(Method::GET, path, *status);
                let answer = answers.add(client, version, case).await?;
                ensure!(answer.text().contains(body), "{path}: {}", answer.text());
            }
        }
        Templates::messages_are_received(client).await;
        Ok(())
    })
    .await
}
