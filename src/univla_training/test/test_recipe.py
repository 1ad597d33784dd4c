from __future__ import annotations

import pytest
import torch
from univla_core.errors import ConfigError
from univla_models.lam_config import LamConfig
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork
from univla_training.networks import policy_document
from univla_training.recipe import Recipe
from univla_training.recipe import load_recipe
from univla_training.recipe import recipe_from_mapping
from univla_training.recipe import recipe_names


@pytest.mark.parametrize('name', recipe_names())
def test_every_recipe_describes_networks_that_can_be_built(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    config = UnivlaConfig.from_mapping(policy_document(recipe.network), name)
    with torch.device('meta'):
        UnivlaNetwork(config)
    assert (config.num_patches, recipe.network.image_side % 14) == (
        (recipe.network.image_side // 14) ** 2,
        0,
    )


def test_the_released_recipe_has_the_released_sizes():
    """Sizes and settings of the published code (arXiv:2505.06111)."""
    recipe, lam = load_recipe('univla-7b'), LamConfig()  # whose defaults are the released sizes
    sizes, dino = recipe.network.lam, recipe.network.lam_dino
    assert (sizes.model_dim, sizes.latent_dim, sizes.num_codes, sizes.heads) == (
        lam.model_dim,
        lam.latent_dim,
        lam.num_codes,
        lam.num_heads,
    )
    assert (sizes.encoder_blocks, sizes.decoder_blocks) == (lam.encoder_blocks, lam.decoder_blocks)
    assert (dino.dim, dino.depth, dino.heads) == (lam.dino_dim, lam.dino_depth, lam.dino_heads)
    assert recipe.network.lam_image_side == lam.dino_image_size
    config = UnivlaConfig.from_mapping(policy_document(recipe.network), 'test')
    released = UnivlaConfig.from_mapping({'text_config': {'vocab_size': 32064}}, 'test')
    assert config.vision == released.vision
    names = ('hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads')
    assert {n: config.llama[n] for n in names} == {n: released.llama[n] for n in names}
    policy, decoder = recipe.policy, recipe.decoder
    assert (policy.batch_size, policy.learning_rate, policy.steps) == (1024, 2e-5, 20000)
    assert (decoder.lora_rank, decoder.learning_rate, decoder.drop_at) == (32, 3.5e-4, 0.5)
    assert (recipe.lam1.steps, recipe.lam2.steps, recipe.lam2.gradient_clip) == (
        100000,
        200000,
        0.1,
    )


def test_a_recipe_survives_being_written_down():
    recipe = load_recipe('tiny')
    assert recipe_from_mapping(recipe.document(), 'copy') == recipe


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'polcy': {}}, r'test: unknown key polcy; known keys are .*policy'),
        ({'policy': {'stepz': 3}}, 'test: policy: unknown key stepz; known keys are steps'),
        ({'policy': {'steps': 1.5}}, 'test: policy: steps is 1.5; write a int'),
        ({'network': {'dino': {'dim': 4}}}, r'test: network: dino: dim is 4; it must lie in \[8'),
        ({'network': {'dino': {'heads': 3}}}, 'network: dino has 128 channels for 3 heads'),
        ({'network': {'image_side': 100}}, 'image_side is 100; it must be a multiple of .* 14'),
        ({'decoder': {'head': 'magic'}}, r"decoder: head is 'magic'; choose one of query"),
        ({'policy': 3}, 'test: policy is 3; write a mapping'),
    ],
)
def test_a_wrong_recipe_says_where(values, message):
    with pytest.raises(ConfigError, match=message):
        recipe_from_mapping(values, 'test')


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no recipe 'huge'.*small, tiny, .*univla-7b"):
        load_recipe('huge')


def test_an_empty_recipe_is_all_defaults():
    assert recipe_from_mapping({}, 'test') == Recipe()
