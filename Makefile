# Every target sets up what it needs: a virtual environment, Caffe (docker/caffe) and Rationale.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

COMMA := ,

.PHONY: help setup caffe peers chromium serve demo test lint lowest card-source bench units reproduce reproduce-sentences explainers birds-full \
	reproduce-quick fresh wheels docker docker-test clean
help:
	@echo "make setup      build and install everything (once)"
	@echo "make demo       explain ten handwritten digits, write out/demo/report.html"
	@echo "make test       all checks and tests"
	@echo "make lint       ruff and mypy only"
	@echo "make lowest     try the oldest versions that pyproject.toml allows, in out/lowest"
	@echo "make caffe      build Caffe's wheel only, and print where it is"
	@echo "                CUDA=1 builds for NVIDIA's cards too (docs/gpu.md)"
	@echo "make peers      install torch, zennit and captum, which some tests and the benchmarks compare with"
	@echo "make card-source  compile the kernels for NVIDIA's cards, without a card (docs/gpu.md)"
	@echo "make units      make the stores of units that come with mnist and flight, in weights/"
	@echo "make bench      time LRP against zennit and captum, and the live page; write their figures to docs"
	@echo "make serve      open the live page: camera, drawing, video or photograph"
	@echo "make reproduce  train, measure, write docs/results.md"
	@echo "make reproduce-sentences  only the experiment with sentences"
	@echo "make explainers  five generators of sentences for each of mnist, flight and cub"
	@echo "make birds-full  all 200 birds, by the original's recipe"
	@echo "make reproduce-quick  the same from the shipped weights, in minutes"
	@echo "make fresh      follow the README on a bare Debian and time it (root, debootstrap)"
	@echo "make wheels     wheels that need no library and no compiler, for Debian's Pythons, in out/wheels (root)"
	@echo "make docker     the image rationale, with Docker or buildah"
	@echo "make docker-test  build images for both Pythons, try them inside, write docker/tested.json"
	@echo "make clean      remove the environment and results; the Caffe wheel stays in the user's cache"

setup: $(BIN)/ready
$(BIN)/ready: pyproject.toml constraints.txt $(wildcard docker/caffe/*.* docker/caffe/patches/*) | $(BIN)/pip
	$(PYTHON) docker/caffe/build.py packages
	wheel=$$($(BIN)/python docker/caffe/build.py wheel) && $(INSTALL) --no-deps --force-reinstall "$$wheel"
	$(INSTALL) --editable '.[dev$(if $(filter-out 0,$(CUDA)),$(COMMA)gpu)]'
	@touch $@

$(BIN)/pip:
	$(PYTHON) docker/caffe/build.py packages
	$(PYTHON) -m venv $(VENV)

caffe: $(BIN)/pip
	$(BIN)/python docker/caffe/build.py wheel

# Each is made in a bootstrapped Debian and tried in a bare one. CAFFE_WHEEL='PLACE#sha256=HASH', in the environment,
# makes `setup` and `caffe` take such a wheel instead of building one.
wheels:
	$(PYTHON) docker/wheels.py all out/wheels $(SUITES)

# SUITES names Debians, BASE the image to start from: see docs/docker.md.
docker:
	$(PYTHON) docker/image.py build $(SUITES)

docker-test:
	$(PYTHON) docker/image.py test $(SUITES)

# torch with what its wheel needs, then zennit and captum to compare with; --no-deps, for they ask for builds of
# torchvision that do not fit torch's CPU build.
peers: $(BIN)/peers
$(BIN)/peers: constraints-peers.txt | $(BIN)/ready
	$(INSTALL) --constraint constraints-peers.txt torch
	$(INSTALL) --requirement constraints-peers.txt --no-deps
	@touch $@

# The browser that the tests of the live page drive, and axe-core, which looks for what keeps people out of it.
chromium:
	$(PYTHON) tests/browser/install.py

serve: setup
	$(BIN)/rationale serve --open

demo: setup
	$(BIN)/rationale data export mnist --split test --each 1 --out out/demo/digits
	$(BIN)/rationale explain out/demo/digits/*.png --model mnist --out out/demo --title "Ten handwritten digits" --portable --replace

lint: setup
	$(BIN)/ruff check python tests benchmarks docker
	$(BIN)/ruff format --check python tests benchmarks docker
	$(BIN)/mypy

# CI compares with the peers, drives the page in Chromium and compiles the kernels for cards; elsewhere those tests are
# skipped, and say so, unless `make peers`, `make chromium` and `make card-source` came first.
test: lint $(if $(CI),peers chromium out/nvrtc)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/browser
	$(BIN)/python -m pytest tests/browser  # a process of its own: the browser's event loop would stay in the others' way
	$(BIN)/python tests/pycaffe_suite.py

lowest: $(BIN)/pip
	wheel=$$($(BIN)/python docker/caffe/build.py wheel) && $(BIN)/python tests/lowest_versions.py "$$wheel"

# NVIDIA's compiler for kernels, which wants neither card nor driver (90 MB).
out/nvrtc: constraints.txt | $(BIN)/ready
	$(INSTALL) --no-deps --upgrade --target $@ nvidia-cuda-nvrtc
	@touch $@

card-source: out/nvrtc
	$(BIN)/python -m pytest tests/lrp/test_card_source.py

bench: peers chromium
	$(BIN)/python -m benchmarks.lrp
	$(BIN)/python -m benchmarks.folder
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.units

# What is known of the units of the shipped classifiers (docs/units.md). flight's crops are small, for photographs that
# belong to others must not be put together again from them.
FLIGHT_UNITS := weights/flight/units.h5
units: setup
	$(BIN)/rationale units top --model mnist --count 6 --highlight deconv --out weights/mnist/units.h5 \
		--credit "MNIST (LeCun et al. 1998), CC BY-SA 3.0"
	for layer in conv1 conv2; do for recipe in blurred fourier; do \
		$(BIN)/rationale units stimuli --model mnist --layer $$layer --recipe $$recipe --store weights/mnist/units.h5 || exit; \
		done; done
	$(BIN)/rationale units top --model flight --layers conv1,fire3/concat,fire5/concat,fire7/concat,fire9/concat,evidence \
		--kinds top,relevant,spread,lowest --count 4 --side 44 --highlight deconv --distinct --out $(FLIGHT_UNITS) \
		--credit "Caltech-101 (Fei-Fei et al. 2004), CC BY 4.0; crops, made smaller"
	for layer in conv1 fire3/concat evidence; do \
		$(BIN)/rationale units stimuli --model flight --layer $$layer --store $(FLIGHT_UNITS) || exit; done

# pycocoevalcap without what it asks for: only its BLEU, METEOR and CIDEr are used.
$(BIN)/metrics: constraints.txt | $(BIN)/ready
	$(INSTALL) --no-deps pycocoevalcap
	@touch $@

reproduce: $(BIN)/metrics
	$(BIN)/rationale reproduce

# Only the sentences: five generators, three seeds, two kinds of captions.
reproduce-sentences: $(BIN)/metrics
	$(BIN)/rationale evaluate sentences --model flight --all-controls
	$(BIN)/rationale evaluate sentences --model mnist
	$(BIN)/rationale captions make --model cub
	$(BIN)/rationale evaluate sentences --model cub

# The five models of Hendricks et al. 2016 for each of the three sets, on captions by heatmap: under out/train.
explainers: setup
	$(BIN)/rationale captions make --model cub
	for model in mnist flight cub; do \
	  for variant in definition description explanation-label explanation-dis explanation; do \
	    $(BIN)/rationale train explainer --model $$model --variant $$variant --seed 1 --threads 1 || exit 1; done; done

# All 200 birds with the sizes and numbers of updates of the original: most of a day on two cores.
birds-full: setup
	$(BIN)/rationale data fetch cub
	test -f out/cub-200/model.toml || $(BIN)/rationale train new out/cub-200 --dataset cub --like cub --explainer
	$(BIN)/rationale train classifier --model out/cub-200 --out out/cub-200
	$(BIN)/rationale captions make --model out/cub-200
	$(BIN)/rationale train explainer --model out/cub-200 --out out/cub-200 --fit

reproduce-quick: setup
	$(BIN)/rationale reproduce --quick

fresh: setup
	$(BIN)/python tests/fresh_machine.py --keep-figures

clean:
	rm -rf $(VENV) out
