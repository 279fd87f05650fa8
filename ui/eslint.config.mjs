import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// What others wrote (a job's name, a kernel's output) is text, never markup.
const MARKUP = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'dangerouslySetInnerHTML'];
const message = 'Text of others goes into text nodes only.';

export default defineConfig(
  globalIgnores(['build/', 'node_modules/', '.yarn/']),
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      'eqeqeq': ['error', 'smart'],
      'no-console': ['error', { allow: ['warn', 'error'] }],
      'no-restricted-properties': ['error', ...MARKUP.map(property => ({ property, message }))],
      'no-restricted-syntax': [
        'error',
        { selector: `JSXAttribute[name.name='dangerouslySetInnerHTML']`, message }
      ]
    }
  },
  {
    files: ['src/**/*.test.ts'],
    rules: { '@typescript-eslint/no-floating-promises': 'off' } // test() of node:test
  },
  { files: ['**/*.mjs', 'style/*.js'], extends: [tseslint.configs.disableTypeChecked] }
);
