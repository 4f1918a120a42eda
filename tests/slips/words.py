"""What a sentence has to say to have named a mistake: regular expressions that a fair reader would accept."""


def says(*of_each: str, never: str = "") -> str:
    """Some word of each alternation, and none of those that would name something else."""
    need = "".join(f"(?=.*(?:{words}))" for words in of_each)
    return rf"(?is)\A{need}" + (f"(?!.*(?:{never}))" if never else "")


NORMS = r"batch.?norm|running|moving|layer.?norm|group.?norm|normali[sz]"

# optimizers
ADAM_EPSILON = says(r"epsilon|\beps\b|ε", never=rf"momentum|{NORMS}|learning.?rate is")
BETAS = says(r"beta|β|moment|exponential", never=r"epsilon|weight.?decay|learning.?rate is|batch.?norm|running")
LEARNING_RATE = says(r"learning.?rate|\blr\b|step.?size|\brate\b", never=r"weight.?decay|epsilon|schedul\w+ is missing")
MOMENTUM = says(r"momentum|velocity|heavy.?ball", never=rf"nesterov|{NORMS}|learning.?rate is")
NESTEROV = says(r"nesterov|look.?ahead")
OTHER_OPTIMIZER = says(r"optimi[sz]er|SGD|Adam|RMSProp|Adagrad|momentum|update rule", never=rf"{NORMS}|epsilon of")
DECAY = says(r"decay|\bL2\b|regulari[sz]|penalty", never=r"epsilon|momentum of")
COUPLED = says(r"decay|\bL2\b|regulari[sz]", r"coupl|AdamW|Adam\b|\bL2\b|gradient|direct", never="epsilon")
SCHEDULE = says(r"schedul|learning.?rate|\blr\b|warm.?up|decay(s|ed)? (by|at|after)", never=r"weight.?decay|epsilon")
CLIP = says(
    r"clip|bound|cap(ped)?\b|norm of (the|all|its) gradient|gradient.{0,30}norm", never="batch.?norm|layer.?norm"
)
LEFT_OUT = says(
    r"frozen|freez|froze|stop_gradient|requires_grad|trainable|left out|missing|no (gradient|update)"
    r"|never|stay|unchanged|not (\w+ )?(updated|trained|given|move|change|learn|in the|passed|stepped|part)"
    r"|optimi[sz]er('s)? (parameters|list)",
    never=r"epsilon|\bbeta|momentum of|schedul|weight.?decay",
)
TWICE = says(r"twice|two (steps|updates)|double|2 ?×|factor (of )?2|learning.?rate|second (step|time)|once more")

# gradients
UNCLEARED = says(r"clear|zero|accumulat|add(ed|s)? up|sum|previous|last step|left from|carr(y|ied)", never="epsilon")
CLEARED = says(r"clear|zero|before|no gradient|not (updated|moved|trained)|no (step|update)|stay|vanish|lost")
SCALED = says(
    r"scal|factor|divid|half|halv|twice|double|multipl|accumulat|time?s\b|tenth|sum|mean", never="epsilon|softmax"
)
DETACHED = says(r"detach|stop_gradient|no_grad|cut|no gradient|gradient.{0,40}(zero|missing|none|stop|not)|frozen|flow")
EVERY_OTHER = says(r"accumulat|every (second|other)|no (update|step)|not (updated|moved|stepp|trained)|stay|skip|step")

# losses
REDUCTION = says(r"sum|mean|averag|reduc|divid|number|count|factor|times", never=r"smooth|epsilon|padding")
SMOOTHING = says(r"smooth")
SOFTMAX_TWICE = says(r"softmax|logits|probabilit|normali[sz]ed twice", never="batch.?norm|layer.?norm")
IGNORED = says(r"ignor|mask|pad|left out|-100|average|mean|count|number|divid", never="epsilon")
LABELS = says(r"label|target|class|\by\b|shift|off by one", never="smooth|epsilon")
AXIS = says(
    r"axis|dimension|\bdim\b|over the (batch|rows|classes|heads|keys|queries|words|positions)", never="epsilon|padding"
)
WEIGHTED = says(r"weight|class|pos_weight|positive|balanc|count", never=r"weight.?decay|epsilon")
OTHER_LOSS = says(r"loss|error|cross.?entropy|MSE|square|absolute|L1|BCE|sigmoid|Huber|hinge")
TEMPERATURE = says(r"temperature|scal|factor|multipl|divid|twice|half|double", never="epsilon")

# norms
NORM_MOMENTUM = says(
    r"momentum|moving.?average|running|share|decay|exponential",
    never=r"optimi[sz]er|epsilon|weight.?decay|learning.?rate",
)
NORM_EPSILON = says(r"epsilon|\beps\b|ε", never=r"momentum|adam|optimi[sz]er")
NORM_EVAL = says(
    r"eval|training mode|train(ing)?=|is_test|global.?stat|running|stored|population|inference|batch statistic|frozen",
    never="momentum of|epsilon",
)
NORM_KIND = says(r"norm", never="momentum|optimi[sz]er")
NORM_ORDER = says(r"norm", r"before|after|order|place|pre-?norm|post-?norm|swap|position|first|missing")
NORM_MISSING = says(r"norm", r"miss|skip|lack|absent|left out|without|identity|not (applied|called)|no\b")
STATISTICS = says(r"unbiased|biased|varian|standard|ddof|n ?[-−] ?1|centr|center|mean", never="optimi[sz]er|momentum")

# shapes and places
PADDING = says(r"pad|border|edge", never="epsilon|momentum")
DILATION = says(r"dilat|atrous|spac", never="epsilon|momentum")
STRIDE = says(r"strid|subsampl|downsampl|offset|position", never="epsilon|momentum")
POOLING = says(r"pool|maxim|averag|kernel|window", never="epsilon|momentum|batch.?norm")
CEIL = says(r"ceil|round|pool|window|pad|border|edge", never="epsilon|momentum")
EXCLUSIVE = says(r"exclusive|count_include_pad|pad|border|edge", never="epsilon|momentum")
ALIGN = says(r"align|corner|interpol|resiz|upsampl|bilinear|scal", never="epsilon|momentum")
RESIZING = says(r"nearest|bilinear|bicubic|interpol|resiz|upsampl|mode", never="epsilon|momentum")
OUTPUT_PADDING = says(r"output.?padding|pad|strid|size|transposed|shift|crop|border|edge", never="epsilon|momentum")
LAYOUT = says(
    r"layout|order|NHWC|channel|transpos|permut|axis|axes|flatten|reshap|swap|flip|revers|height|width", never="epsilon"
)
TRANSPOSED = says(r"transpos|\(out, in\)|\(in, out\)|orient|layout|order|weight\.T|\.t\(\)", never="epsilon|padding")
SWAPPED = says(
    r"swap|exchang|order|interchang|mix|permut|another (layer|block)|in place of|place of the other|each other",
    never="epsilon|padding|momentum|weight.?decay|learning.?rate",
)
REUSED = says(
    r"shar|reus|same|twice|second time|instead of|another|tied|again|once more|swap"
    r"|(in|the) place of|weights of|layer of",
    never="epsilon|padding|momentum|weight.?decay|learning.?rate",
)
MISSING_BIAS = says(r"bias|offset|intercept|shift|constant", never="correction|epsilon|padding")
EXTRA_BIAS = says(r"bias|offset|intercept|additional|extra|parameter|no counterpart", never="correction|epsilon")
TIED = says(r"tie|tied|shar|same|separate|copy|copies|own|independent|embedding", never="epsilon|padding")
HEADS = says(r"head|split|reshap|transpos|permut|layout|order|axis|axes|view", never="epsilon|padding")
GATES = says(
    r"gate|order|chunk|split|swap|cell|permut|forget|reset|update|candidate", never="epsilon|padding|optimi[sz]er"
)
CELL = says(r"gate|cell|candidate|reset|hidden|bias|formula|variant|activation|sigmoid|tanh", never="epsilon|padding")
DIRECTION = says(
    r"direction|revers|backward|forward|bidirect|order|flip|time|concat|swap|end", never="epsilon|optimi[sz]er"
)
TIME = says(
    r"time|batch.?first|time_major|axis|axes|transpos|batch|order|sequence|layout", never="epsilon|optimi[sz]er"
)
LENGTHS = says(r"length|pad|mask|sequence_length|pack", never="epsilon|optimi[sz]er")
STATE = says(r"state|hidden|initial|carr|zero|h0|memory|last", never="epsilon|optimi[sz]er")

RESIDUAL = says(
    r"residual|shortcut|skip|identity|input (is )?(not )?(added|missing)|add(ed|s|ition)?|sum", never="epsilon"
)
# functions
GELU = says(r"gelu|approximat|tanh|sigmoid|erf", never="epsilon|padding")
ACTIVATION = says(
    r"activation|relu|gelu|tanh|sigmoid|swish|silu|elu|softplus|slope|hardtanh|nonlinear|identity|clip|function",
    never="epsilon|padding",
)
SLOPE = says(r"slope|leak|relu|alpha|0\.2|0\.01|activation", never="epsilon|padding")
SCALE = says(r"scal|√|sqrt|root|divid|factor|head.?dim|1/|temperature|multipl", never="epsilon|padding")
MASK = says(r"mask|causal|triangular|triu|tril|diagonal|future|position|pad|attend", never="epsilon|optimi[sz]er")
POSITIONS = says(r"position|offset|shift|embedding|segment|token.?type|index", never="epsilon|optimi[sz]er")
SCALED_INPUT = says(r"scal|normali[sz]|input|twice|factor|multipl|standardi[sz]|255|mean|image|shift", never="epsilon")
PRECISION = says(
    r"float ?(16|32)|half|single|precision|bfloat|cast|round|fp(16|32)|dtype|digits", never="epsilon|optimi[sz]er"
)
