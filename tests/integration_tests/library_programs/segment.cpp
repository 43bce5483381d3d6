// perform_image_segmentation(image_path, model_path): writes the class of each pixel as a grey PNG.
#include <iostream>
#include <verge/base/file.hpp>
#include <verge/processing/open_model.hpp>
#include <verge/processing/rendering.hpp>

int main(int, char** arguments) {
  auto image = verge::read_file(arguments[1], 1 << 28);
  auto model = verge::processing::open_model(arguments[2]);
  if (!image || !model) return std::cerr << (image ? model.error() : image.error()).text() << '\n', 1;
  auto prediction = model->predict_encoded(*image);
  if (!prediction) return std::cerr << prediction.error().text() << '\n', 1;
  auto png = verge::processing::encode_png(verge::processing::class_numbers((*prediction)->mask));
  return png && verge::write_file(arguments[3], *png) ? 0 : 1;
}
