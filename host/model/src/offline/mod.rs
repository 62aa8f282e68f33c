//! x
use async_trait::async_trait;
use harness_core::event::ModelFailure;
use harness_engine::ports::{DeltaSink, Model, ModelRequest, ModelResponse};
/// x
#[derive(Debug)]
pub struct Offline;
#[async_trait]
impl Model for Offline {
    async fn respond(&self, _request: ModelRequest, _deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> { todo!() }
}
