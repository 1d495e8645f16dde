"""The public names of the model's configuration, from the modules that implement them."""

from python.model.config_gguf import config_from_gguf as config_from_gguf
from python.model.config_hf import config_from_hf as config_from_hf
from python.model.gemma_config import AttentionConfig as AttentionConfig
from python.model.gemma_config import ConfigError as ConfigError
from python.model.gemma_config import GemmaConfig as GemmaConfig
from python.model.named_configs import NAMED as NAMED
from python.model.named_configs import gemma3_270m as gemma3_270m
from python.model.named_configs import gemma4_12b as gemma4_12b
from python.model.named_configs import gemma4_31b as gemma4_31b
from python.model.named_configs import named_config as named_config
from python.model.named_configs import tiny_gemma3 as tiny_gemma3
from python.model.named_configs import tiny_gemma4 as tiny_gemma4
