"""Hooks on the torch model that record what its layers yield."""

from torch import Tensor, nn

from geolrm.export.model import GeoLRM
from geolrm.export.model.transformer import Block


class recording:
    """Hooks that record intermediate arrays under the names of the case, while it is open."""

    def __init__(self, model: GeoLRM, proposal: str, generator: str, record: dict[str, Tensor]):
        self.record, self.handles = record, []
        networks = (
            (proposal, "ser", model.serializer),
            (generator, "gen", model.lrm_generator),
        )
        for prefix, stage, network in networks:
            encoder, transformer = network.encoder, network.transformer
            assert encoder is not None, "both networks of the released model have an encoder"
            self.output(encoder.model, f"{stage}.dino", batched=False)
            self.output(encoder.deconv, f"{stage}.high", batched=False)
            self.output(encoder.low_level_encoder, f"{stage}.low", batched=False)
            for i, layer in enumerate(transformer.blocks):
                self.output(layer, f"{prefix}.latent{i}")
            self.output(transformer.norm, f"{prefix}.latent_final")
            self.block(transformer.blocks[0], f"{prefix}.block0")
        self.output(model.serializer.upsample, f"{proposal}.upsample_raw")
        self.output(model.lrm_generator.renderer.latent_decoder, f"{generator}.gs_raw")

    def block(self, layer: Block, prefix: str) -> None:
        attention = layer.cross_attention.deformable_attention
        views = attention.value_proj
        self.output(layer.self_attention_norm, f"{prefix}.sa_norm")
        self.output(layer.self_attention, f"{prefix}.sa_out")
        self.output(layer.cross_attention_norm, f"{prefix}.ca_query")
        self.output(attention, f"{prefix}.ca_per_view", batched=False)
        self.output(layer.cross_attention.cross_view_weight, f"{prefix}.ca_view_logit")
        self.output(layer.feed_forward, f"{prefix}.ffn_out")
        self.values(views, f"{prefix}.ca_value", attention)
        self.per_view(attention.sampling_offsets, f"{prefix}.ca_offsets_raw", attention)
        self.per_view(attention.attention_weights, f"{prefix}.ca_attw_raw", attention)
        self.handles.append(
            layer.ffn_norm.register_forward_pre_hook(
                lambda _, inputs: self.record.update({f"{prefix}.ca_block_out": inputs[0][None]})
            )
        )

    def output(self, module: nn.Module, name: str, batched: bool = True) -> None:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self.record[name] = output[None] if batched else output

        self.handles.append(module.register_forward_hook(hook))

    def values(self, module: nn.Module, name: str, attention: nn.Module) -> None:
        """Record the projection, which runs over all views flattened, by view."""

        def hook(_module: nn.Module, inputs: tuple, _output: Tensor) -> None:
            self.record[name] = self.record[name].unflatten(0, inputs[1].shape[:2])

        self.output(module, name, batched=False)
        self.handles.append(attention.register_forward_hook(hook))

    def per_view(self, module: nn.Module, name: str, attention: nn.Module) -> None:
        """Record an array as often as there are views: the released code computes it for each."""

        def hook(_module: nn.Module, inputs: tuple, _output: Tensor) -> None:
            views = inputs[1].shape[0]
            value = self.record[f"{name}.once"]
            self.record[name] = value.expand(views, -1, -1).clone()

        def once(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self.record[f"{name}.once"] = output[None]

        self.handles.append(module.register_forward_hook(once))
        self.handles.append(attention.register_forward_hook(hook))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
