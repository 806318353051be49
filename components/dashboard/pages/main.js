// The live page: connects its parts.

import { observeSize } from './chart.js';
import { at } from './elements.js';
import { flows } from './flows.js';
import { followLetters, prepareLetters, renderLetters } from './letters.js';
import { watch } from './live.js';
import { checkPipeline, renderPipeline, showPipeline } from './pipeline.js';
import { prepareForm } from './sell.js';
import { preferredLanguage, setLanguage } from './texts.js';
import { countedPerSecond, render, showFigures, showState, showTime } from './view.js';

setLanguage(preferredLanguage());
for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => {
    setLanguage(button.dataset.language, { keep: true });
    render();
    renderPipeline();
    renderLetters();
  });
}
prepareForm();
prepareLetters();
render();
flows.setCounted(countedPerSecond);
watch({
  onFigures: showFigures,
  onTime: showTime,
  onState: showState,
  onPipeline: (state) => {
    showPipeline(state);
    followLetters(state);
  },
});
setInterval(checkPipeline, 1000);
// The chart is drawn for the size that it has.
observeSize(at('prices'), render);
