"""A tokenizer and a model of a few thousand parameters, made on the spot."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = """{%- if tools %}<s>tools {{ tools | tojson }}</s>{% endif -%}
{%- for message in messages -%}
<s>{{ message.role }} {{ message.content }}
{%- for call in message.tool_calls or [] %}
call {{ call.function.name }} {{ call.function.arguments | tojson }}
{%- endfor -%}
</s>
{%- endfor -%}
{%- if add_generation_prompt %}<s>assistant {% endif -%}"""


ON_CPU = {
    "report_to": "none", "use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True,
    "gradient_checkpointing": False,
}  # fmt: skip
"""Settings of TRL's trainers: here, quietly, nothing kept."""


def tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "<pad>", *alphabet])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )


def model(folder: Path, tokens: int = 1024) -> LlamaForCausalLM:
    """One that lies in a folder, since some trainers load it a second time."""
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder)
